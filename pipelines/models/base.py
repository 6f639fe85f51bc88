"""Feature columns by kind, what a fit gives, and how a fitted pipeline answers.

A learner is a line in LEARNERS (learners.py); what happens to features before
it stands in preparation.py. All of it is one fitted pipeline, from the columns
of the feature table to a prediction.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from pyspark.ml import PipelineModel, Transformer
from pyspark.sql import Column, DataFrame

from pipelines.errors import SpecError
from pipelines.spec.prepare import Preparation, Quantiles
from pipelines.spec.task import KNOWN, LABEL, LIKELIHOOD, NAIVE, OURS, PREDICTED, PREDICTION, SCORE, TARGET, VECTOR

SEED = 20130101
logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)  # it tells of every fit and every batch
PARTS = ("categories", "numbers", "times", "texts", "pictures")  # what columns are taken for
RESERVED = frozenset({LABEL, KNOWN, TARGET, SCORE, PREDICTED, LIKELIHOOD, NAIVE, VECTOR})
Shape = Literal[
    "linear", "trees", "boosted", "net", "pairs", "words", "pictures"
]  # of features, as a learner wants them


@dataclass(frozen=True)
class Inputs:
    """Feature columns by what they are taken for; `how`: what the conf says of some."""

    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    times: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    how: Mapping[str, Preparation] = field(default_factory=dict)

    @classmethod
    def of(
        cls, df: DataFrame, columns: Sequence[str], prepare: Mapping[str, Preparation] = MappingProxyType({})
    ) -> "Inputs":
        """By what the conf says, else by type: text and booleans are categories. Errors: SpecError for another type."""
        kinds = {name: kind.partition("(")[0] for name, kind in df.dtypes}
        if PREDICTION in kinds:
            raise SpecError(f"column {PREDICTION} has the name of a column that a model makes; name it otherwise")
        found: dict[str, list[str]] = {part: [] for part in PARTS}
        for column in columns:
            if column in RESERVED or column.startswith(OURS):
                raise SpecError(f"feature {column} has the name of a column that a model makes; name it otherwise")
            found[_part(column, kinds[column], prepare.get(column))].append(column)
        parts = {part: tuple(names) for part, names in found.items()}
        return cls(**parts, how=dict(prepare))

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in the order of the vector; no picture is in it."""
        return (*self.categories, *self.texts, *self.numbers, *self.times, *self.pictures)

    @property
    def quantiles(self) -> tuple[str, ...]:
        """Numbers that become categories."""
        return tuple(c for c in self.numbers if isinstance(self.how.get(c), Quantiles))

    def only(self, columns: Collection[str]) -> "Inputs":
        """Those that are named."""
        kept = {part: tuple(c for c in getattr(self, part) if c in columns) for part in PARTS}
        return Inputs(**kept, how={c: each for c, each in self.how.items() if c in columns})

    def prepared(self, how: Mapping[str, Preparation]) -> "Inputs":
        """The same columns, otherwise prepared."""
        return replace(self, how=how)


def _part(column: str, kind: str, asked: Preparation | None) -> str:
    """Where a column belongs. Errors: SpecError where it cannot be what the conf says, or where nothing fits."""
    fitting = [part for part, kinds in TYPES.items() if kind in kinds]
    if asked is None:
        if not fitting:
            raise SpecError(
                f"feature {column} is {kind}; a feature is text, number, boolean, timestamp, date or a picture"
            )
        return fitting[0]
    wanted = _PARTS.get(asked.kind, "categories")
    if wanted not in fitting:
        raise SpecError(f"prepare.{column}: kind: {asked.kind} is not for {kind}")
    return wanted


_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
TYPES = {  # what a column can be, by its type; the first is what it is unless said
    "numbers": (*_NUMBERS,),
    "times": ("timestamp", "timestamp_ntz", "date"),
    "categories": ("string", "boolean", *_NUMBERS, "date"),
    "texts": ("string",),
    "pictures": ("binary",),
}
_PARTS = {"number": "numbers", "cycle": "numbers", "quantiles": "numbers", "text": "texts", "time": "times"}


@dataclass(frozen=True)
class Block:
    """Places of the vector that one column fills."""

    feature: str
    column: str
    width: int = 1
    values: int = 0  # of a category that stands as an index


@dataclass(frozen=True)
class Asked:
    """What a learner has to know of a task."""

    kind: str
    classes: int  # of a label; 0 of a number
    keys: tuple[str, ...] = ()  # of a row
    closing: tuple[Transformer, ...] = ()  # stages that end the pipeline
    pair: tuple[str, ...] = ()  # user and item, of a recommendation
    scratch: str = ""  # a folder that all machines see, for what is in between
    extensions: tuple[str, ...] = ()  # modules that hold nets and estimators of a team's own
    observed: str = ""  # column that is false where the label is too low, for its time is not over; of a survival


@dataclass(frozen=True)
class Fitted:
    """A pipeline from feature columns to predictions, and what was seen while it was fitted."""

    pipeline: PipelineModel
    importance: list[tuple[str, float]]  # shares that sum to 1, the greatest first; empty where a learner tells none
    left_out: tuple[str, ...]  # features that are the same in every training row, or missing in all
    blocks: tuple[Block, ...] = ()  # what stands where in the vector
    told: Mapping[str, Any] = field(default_factory=dict)  # what the learner says of its training, as JSON


def select(made: Mapping[str, str]) -> str:
    """SQL of a stage that appends columns: name -> expression."""
    return "SELECT *" + "".join(f", {expression} AS `{name}`" for name, expression in made.items()) + " FROM __THIS__"


def predict(fitted: PipelineModel, df: DataFrame, answers: Mapping[str, Column]) -> DataFrame:
    """df with `answers` appended, columns of what the pipeline gives; lazily, no row added or lost."""
    made = [column.alias(name) for name, column in answers.items()]
    return fitted.transform(df).select(*df.columns, *made)


def shares(weights: Mapping[str, float]) -> list[tuple[str, float]]:
    """Weights as shares of their sum, the greatest first."""
    whole = sum(weights.values()) or 1.0
    return sorted(((name, w / whole) for name, w in weights.items()), key=lambda x: (-x[1], x[0]))
