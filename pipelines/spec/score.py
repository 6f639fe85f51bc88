"""A published prediction: which rows, by which model, and who else is told of each."""

from typing import Literal

from pydantic import Field

from pipelines.spec.base import Name, Spec


class KafkaSink(Spec):
    """A topic that each published row is sent to: at least once, and equal byte by byte where twice."""

    kind: Literal["kafka"]
    connection: Name = Field(description="a `kind: kafka` connection of the target, which names the brokers")
    topic: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,249}$", description="its name; it has to be there")


class Score(Spec):
    """A published prediction: `of` feature rows by the model's champion, in batch or as a stream."""

    model: Name
    of: Name
    mode: Literal["batch", "stream"]
    shadow: bool = Field(
        default=False, description="the challenger, while there is one, scores the same rows into `NAME_shadow`"
    )
    explain: int = Field(
        default=0, ge=0, le=20,
        description="how many features, of those that weigh most in an answer, stand in its row with what they add; "
        "models with one number, linear or of trees",
    )  # fmt: skip
    sinks: tuple[KafkaSink, ...] = Field(default=(), description="where the rows go beside their table")
