"""petastorm as its guide has it, for torch: batched|rows FOLDER EPOCHS BATCH. Prints as own_loader.py does.

It runs in a Python of its own (petastorm.txt). Its reader has two threads, as many as the machine has cores.
"""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from petastorm import make_batch_reader  # noqa: E402  # it warns when it is imported
from petastorm.pytorch import BatchedDataLoader, DataLoader  # noqa: E402

kind, folder, epochs, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rows, total = 0, 0
files = ["file://" + str(p) for p in sorted(Path(folder).glob("*.parquet"))]
if epochs:
    with make_batch_reader(files, num_epochs=epochs, workers_count=2, shuffle_row_groups=True) as reader:
        made = BatchedDataLoader if kind == "batched" else DataLoader
        for block in made(reader, batch_size=batch, shuffling_queue_capacity=40_000):
            rows += len(block["x0"])
            total += int(block["x0"].double().sum())
sys.stdout.write(json.dumps({"rows": rows, "sum": total}) + "\n")
