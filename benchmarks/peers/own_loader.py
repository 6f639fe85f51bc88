"""Ours as a process: FOLDER EPOCHS BATCH. Prints how many rows came and the sum of their numbers, as JSON."""

import json
import sys

from pipelines.deep import planning
from pipelines.deep.loader import Deck, Loader

folder, epochs, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
columns = tuple(f"x{i}" for i in range(100))
rows, total = 0, 0
loader = Loader(Deck(folder, 0, columns, planning.groups(folder, 0), 0, 1), 0, 1, batch)
for epoch in range(epochs):
    for block in loader.batches(epoch):
        rows += len(block)
        total += int(block[:, 0].sum(dtype="float64"))
loader.close()
sys.stdout.write(json.dumps({"rows": rows, "sum": total}) + "\n")
