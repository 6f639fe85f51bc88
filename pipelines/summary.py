"""What a run did, in words and figures for a terminal; from outcomes and records alone."""

from collections.abc import Sequence

from pipelines.run.pipeline import Outcome
from pipelines.spec import Pipeline, Target


def summary(pipeline: Pipeline, target: Target, conf: str, outcomes: Sequence[Outcome]) -> str:
    """The closing text of `lakeloom run`."""
    return "\n".join(f"{o.verdict.stage.id} {o.record.counts if o.record else o.error or o.verdict.why}" for o in outcomes)
