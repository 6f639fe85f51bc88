"""Where a learner lays down what it needs on its way: rows for its ranks, checkpoints. Beside the warehouse's tables.

It is named by the batch, so that the run after a kill finds it and goes on, and is removed with the record.
"""

from pipelines.deep.job import Folder
from pipelines.state import Intent, Warehouse


def place(warehouse: Warehouse, intent: Intent) -> str:
    """The folder of a batch's training."""
    return f"{_of(warehouse, intent)}/{intent.generation}.{intent.batch}"


def clear(warehouse: Warehouse, intent: Intent) -> None:
    """Remove it, and what batches before left of theirs: a stage has one run at a time."""
    Folder(_of(warehouse, intent)).remove()


def _of(warehouse: Warehouse, intent: Intent) -> str:
    return f"{warehouse.root}/{warehouse.pipeline}/_scratch/{intent.stage}"
