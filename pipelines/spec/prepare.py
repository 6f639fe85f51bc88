"""Preparation: what becomes of a feature column before a learner sees it, where its type should not decide.

Unless said: numbers are filled by the median and, for linear learners,
standardised; categories are one-hot or an index, and with many values target or
hash; timestamps are the cycles of day, week and year. How each is made stands
in models/preparation.py.
"""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.spec.base import Spec

Part = Literal["hour", "weekday", "day", "month"]
Buckets = Annotated[int, Field(ge=2, le=1 << 20, description="places of the vector")]


class Number(Spec):
    """A number as it is; where it is missing, what is said, and a column that says so."""

    kind: Literal["number"]
    impute: Literal["median", "mean", "constant"] | None = Field(
        default=None, description="median, unless said; xgboost is shown what is missing"
    )
    constant: float = Field(default=0.0, description="for impute: constant")
    indicator: bool = Field(default=True, description="a column that says whether it was missing")
    scale: Literal["standard", "min_max", "none"] | None = Field(
        default=None, description="standard for linear learners, none for trees, unless said"
    )


class Cycle(Spec):
    """A number that comes round, as sine and cosine: of 23 o'clock, 0 is a neighbour."""

    kind: Literal["cycle"]
    period: float = Field(gt=0, description="after which it begins anew: 24 of hours")


class Quantiles(Spec):
    """A number as a category, by equal shares of the training rows."""

    kind: Literal["quantiles"]
    number: int = Field(default=10, ge=2, le=256, description="how many")


class OneHot(Spec):
    """A category as a place for each value."""

    kind: Literal["one_hot"]


class Index(Spec):
    """A category as its rank by frequency: for trees."""

    kind: Literal["index"]


class Hashed(Spec):
    """A category by its hash: any number of values, some of which share a place."""

    kind: Literal["hash"]
    buckets: Buckets = 256


class MeanLabel(Spec):
    """A category as the mean label of its value, drawn to that of all; of a training row, by the other folds."""

    kind: Literal["target"]
    smoothing: float = Field(default=20.0, ge=0, le=1e9, description="rows that the mean of all counts for")


class Text(Spec):
    """Words by their hash, the rare ones weighing more (TF-IDF)."""

    kind: Literal["text"]
    buckets: Buckets = 1024


class Time(Spec):
    """A timestamp (UTC) as the cycles it stands in, each as sine and cosine."""

    kind: Literal["time"]
    parts: tuple[Part, ...] = Field(default=("hour", "weekday", "month"), min_length=1, description="which")


KINDS: tuple[type[Spec], ...] = (Number, Cycle, Quantiles, OneHot, Index, Hashed, MeanLabel, Text, Time)
Preparation = Annotated[
    Number | Cycle | Quantiles | OneHot | Index | Hashed | MeanLabel | Text | Time, Field(discriminator="kind")
]
