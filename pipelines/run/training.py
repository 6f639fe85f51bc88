"""The account of a net's training, an epoch a row of `_epochs`: what the rules said beside their evidence."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.deep import rules
from pipelines.run.context import Context
from pipelines.state import Intent
from pipelines.told import Epoch

APART = ("loss", "held_loss", "seconds")  # columns of their own


def remember(ctx: Context, intent: Intent, told: Mapping[str, Any]) -> None:
    """Write the epochs of a batch's winner, where it has any; a replay of the batch takes its own place."""
    ctx.lock.confirm()
    ctx.warehouse.remember(rows(intent, ctx.run_id, told.get("epochs", ())))


def rows(intent: Intent, run_id: str, epochs: Sequence[dict[str, Any]]) -> list[Epoch]:
    """A row an epoch, with what the rules said after it."""
    return [_row(intent, run_id, epochs[:number]) for number in range(1, len(epochs) + 1)]


def _row(intent: Intent, run_id: str, upto: Sequence[dict[str, Any]]) -> Epoch:
    last = upto[-1]
    return Epoch(
        pipeline=intent.pipeline,
        stage=intent.stage,
        run_id=run_id,
        generation=intent.generation,
        batch=intent.batch,
        at=intent.now,
        epoch=len(upto),
        loss=last["loss"],
        held_loss=last["held_loss"],
        seconds=last["seconds"],
        account={k: v for k, v in last.items() if k not in APART},
        ailments={found.rule: found.why for found in rules.examined(upto)},
    )
