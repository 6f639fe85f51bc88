"""Numbers and times on their way into the vector, as SQL over figures that one aggregate found.

All of it is arithmetic on literals, so a fitted stage is a text that can be
read and compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt, tau

from pipelines.models.base import Block, Inputs, Shape
from pipelines.models.moments import Moments
from pipelines.spec import prepare as how

DIGITS = 12  # of a fitted figure: what is beyond depends on the order in which partitions are added up
GRID = 1e12  # of sine and cosine, likewise
PARTS = {  # of a timestamp: how it is counted, and after how many it begins anew
    "hour": ("hour(`{c}`) + minute(`{c}`) / 60D", 24),
    "weekday": ("weekday(`{c}`)", 7),
    "day": ("dayofyear(`{c}`)", 365.2425),
    "month": ("month(`{c}`)", 12),
}
MADE = dict[str, str]  # column -> SQL
PLAIN = how.Number(kind="number")


@dataclass(frozen=True)
class Seen:
    """A number over the training rows."""

    rows: int
    missing: int
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    variance: float = 0.0  # of the population that is there
    quantiles: tuple[float, ...] = ()  # the median, or the edges between equal shares; what was asked for

    @classmethod
    def of(cls, rows: int, found: Moments, quantiles: tuple[float, ...]) -> "Seen":
        """Of all rows, and of those in which it is there."""
        there = int(found.n)
        told = found.low, found.high, found.mean, found.variance, quantiles
        return cls(rows, rows - there, *told) if there else cls(rows, rows)

    @property
    def median(self) -> float:
        """0 where it is missing in every row, or was not needed."""
        return self.quantiles[0] if self.quantiles else 0.0

    @property
    def constant(self) -> bool:
        """It tells nothing: the same in every row."""
        return self.missing == self.rows or (not self.missing and self.low == self.high)

    def filled(self, value: float) -> tuple[float, float]:
        """Mean and standard deviation once `value` stands where it is missing."""
        there = self.rows - self.missing
        mean = (there * self.mean + self.missing * value) / self.rows
        squares = there * (self.variance + (self.mean - mean) ** 2) + self.missing * (value - mean) ** 2
        return _rounded(mean), _rounded(sqrt(squares / max(self.rows - 1, 1)))


def typed(inputs: Inputs) -> MADE:
    """Numbers as double, where what is no finite number is missing; parts of timestamps."""
    made = {}
    for c in inputs.numbers:
        value = f"CAST(`{c}` AS DOUBLE)"
        made[f"__n_{c}"] = f"IF(isnan({value}) OR abs({value}) = CAST('Infinity' AS DOUBLE), NULL, {value})"
    for c in inputs.times:
        for part in _parts(inputs, c):
            counted, period = PARTS[part]
            made |= _circle(c, f"__v_{c}_{part}", f"({counted.format(c=c)})", period)
    return made


def shares(asked: how.Preparation | None, shape: Shape) -> list[float]:
    """The rows below each quantile that is needed: none where nothing is filled, for they are the dear part."""
    if isinstance(asked, how.Quantiles):
        return [i / asked.number for i in range(1, asked.number)]
    if isinstance(asked, how.Cycle):
        return []
    impute, scale = _way(asked if isinstance(asked, how.Number) else PLAIN, shape)
    return [0.5] if impute == "median" or (impute, scale) == ("none", "standard") else []


def made(inputs: Inputs, seen: Mapping[str, Seen], shape: Shape) -> tuple[MADE, list[Block]]:
    """Filled, scaled; beside each that was missing, whether it is. Quantiles are categories, and not here."""
    sql: MADE = {}
    blocks = [Block(c, f"__v_{c}_{part}_{way}") for c in inputs.times for part in _parts(inputs, c) for way in WAYS]
    for c in inputs.numbers:
        asked = inputs.how.get(c, PLAIN)
        if isinstance(asked, how.Quantiles):
            continue
        if isinstance(asked, how.Cycle):
            own = _circle(c, f"__v_{c}", f"`__n_{c}`", asked.period)
        else:
            assert isinstance(asked, how.Number)
            own = _number(c, asked, seen[c], shape)
        sql |= own
        blocks += [Block(c, name) for name in own]
    return sql, blocks


WAYS = ("sin", "cos")


def _parts(inputs: Inputs, column: str) -> tuple[str, ...]:
    asked = inputs.how.get(column, how.Time(kind="time"))
    return asked.parts if isinstance(asked, how.Time) else ()


def _circle(column: str, name: str, value: str, period: float) -> MADE:
    """A place on a circle; what is missing stands in its middle.

    Rounded: else the cosines of two days that lie alike differ by a last digit, and a tree can split there.
    """
    turned = f"{value} * {tau / period!r}D"
    return {f"{name}_{way}": f"coalesce(rint({way}({turned}) * {GRID!r}D) / {GRID!r}D, 0D)" for way in WAYS}


def _number(column: str, asked: how.Number, seen: Seen, shape: Shape) -> MADE:
    value, (impute, scale) = f"`__n_{column}`", _way(asked, shape)
    fill = {"median": seen.median, "mean": seen.mean, "constant": asked.constant, "none": seen.median}[impute]
    fill = _rounded(fill)
    filled = value if impute == "none" else f"coalesce({value}, {fill!r}D)"
    off, by = 0.0, 1.0
    if scale == "standard":
        off, by = seen.filled(fill)
    if scale == "min_max":
        off, by = seen.low, seen.high - seen.low
    sql = {f"__v_{column}": filled if (off, by) == (0.0, 1.0) else f"({filled} - {off!r}D) / {by or 1.0!r}D"}
    if seen.missing and asked.indicator and impute != "none":
        sql[f"__m_{column}"] = f"IF({value} IS NULL, 1D, 0D)"
    return sql


def _way(asked: how.Number, shape: Shape) -> tuple[str, str]:
    """How it is filled, and how it is scaled."""
    scale = asked.scale or ("standard" if shape in ("linear", "net") else "none")
    return asked.impute or ("none" if shape == "boosted" else "median"), scale


def cut(inputs: Inputs, seen: Mapping[str, Seen]) -> MADE:
    """Numbers as categories: how many of the edges lie below."""
    made = {}
    for c in inputs.quantiles:
        edges = sorted(set(seen[c].quantiles))
        above = " + ".join(f"IF(`__n_{c}` > {edge!r}D, 1, 0)" for edge in edges) or "0"
        made[f"__c_{c}"] = f"IF(`__n_{c}` IS NULL, '(missing)', lpad(CAST({above} AS STRING), 3, '0'))"
    return made


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
