"""The search for the best candidate: how long, by what, and the ranges that stand in place of values.

A candidate that is to be searched gives a range where it would give a value:
`depth: [3, 8]` or `learning_rate: {low: 0.01, high: 0.3, log: true}`. A trial
is the same candidate with a value in place of each range, so learners see
plain values alone. To let a range stand for an option of a candidate, name it in
the class's SEARCHED.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, ClassVar, Self, get_args

from pydantic import Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from pipelines.spec.base import Spec
from pipelines.spec.task import Metric

RUNGS = 3  # of a search by halving
LENGTHS = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}


class Search(Spec):
    """How the best candidate is chosen: by the metric on the validation slice."""

    metric: Metric | None = Field(
        default=None, description="unless said: the task's own, such as average_precision, rmse, silhouette"
    )
    trials: int = Field(default=12, gt=0, le=1_000, description="most trials, where a candidate has ranges")
    budget_minutes: float | None = Field(default=None, gt=0, le=10_000, description="no trial begins after it")
    budget_usd: float | None = Field(
        default=None, gt=0, le=10**9, description="no trial begins after it, by the prices of the target"
    )
    seed: int = Field(default=7, ge=0, le=2**31 - 1, description="of the proposals")
    halving: int | None = Field(
        default=None, ge=2, le=10, description="try all on 1/halving² of the rows, the best of so many on more"
    )
    parallel: int = Field(default=1, gt=0, le=16, description="trials side by side; other proposals than one by one")

    def rungs(self, trials: int) -> tuple[tuple[float, int], ...]:
        """(share of the training rows, trials) of each rung; the last is on all rows."""
        if self.halving is None:
            return ((1.0, trials),)
        return tuple((self.halving ** -(RUNGS - 1 - i), -(-trials // self.halving**i)) for i in range(RUNGS))


class Range(Spec):
    """Values from low to high, both ends with them; log: by their order of magnitude."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low should be less than high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low should be greater than 0 where log is true, got {self.low:g}")
        return self

    @property
    def middle(self) -> float:
        """Where a search begins that knows nothing better."""
        return sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2


class Searched(Spec):
    """A candidate, some options of which may be ranges."""

    SEARCHED: ClassVar[tuple[str, ...]] = ()
    ranges: dict[str, Range] = Field(default={}, description="option -> its range; the option itself holds the low end")

    @property
    def start(self) -> dict[str, float]:
        """The first values to try: an option's default where its range has it, else the middle."""
        defaults = {name: type(self).model_fields[name].default for name in self.ranges}
        first = {n: defaults[n] if _within(defaults[n], r) else r.middle for n, r in self.ranges.items()}
        return {n: round(v) if self.whole(n) else v for n, v in first.items()}

    def at(self, values: Mapping[str, float]) -> Self:
        """The plain candidate with a value in place of each range; whole numbers where the option is one."""
        plain = self.model_dump(exclude={"ranges"})
        return type(self).model_validate({**plain, **{name: self._typed(name, v) for name, v in values.items()}})

    @classmethod
    def whole(cls, name: str) -> bool:
        """True where an option is a whole number."""
        kind = cls.model_fields[name].annotation
        return int in (kind, *get_args(kind))

    @classmethod
    def _typed(cls, name: str, value: float) -> float:
        return round(value) if cls.whole(name) and float(value).is_integer() else value

    @model_validator(mode="before")
    @classmethod
    def _apart(cls, given: Any) -> Any:
        """Ranges out of the options; Python's strict tuples out of JSON's lists, for this sees it before pydantic."""
        if not isinstance(given, Mapping):
            return given
        if "ranges" in given:
            raise ValueError("ranges: no such key; a range stands in place of a value, such as depth: [3, 8]")
        found = {name: _range(name, given[name]) for name in cls.SEARCHED if _is_range(given.get(name))}
        rest = {name: _tuples(v) for name, v in given.items() if name not in found}
        low = {name: cls._typed(name, r.low) for name, r in found.items()}
        return {**rest, **low, **({"ranges": found} if found else {})}

    @model_validator(mode="after")
    def _inside(self) -> Self:
        for name, found in self.ranges.items():
            try:
                self.at({name: found.high})
            except ValidationError as error:
                raise ValueError(f"{name}: {_said(error)}, got {found.high:g}") from None
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """An option is a value or its range; `ranges` is no key of a conf."""
        reference = handler(core)
        options = handler.resolve_ref_schema(reference)["properties"]
        ranged = options.pop("ranges")["additionalProperties"]
        for name in cls.SEARCHED:
            said = {k: options[name].pop(k) for k in ("default", "description", "title") if k in options[name]}
            options[name] = {"anyOf": [options[name], LENGTHS, ranged], **said}
        return reference


def _tuples(value: Any) -> Any:
    """Lists as tuples, within each other too."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _is_range(value: object) -> bool:
    return isinstance(value, list | tuple | Mapping | Range)


def _range(name: str, given: Any) -> Range:
    if isinstance(given, Sequence) and len(given) != 2:
        raise ValueError(f"{name}: a range is [low, high], got {len(given)} values")
    try:
        return Range.model_validate({"low": given[0], "high": given[1]} if isinstance(given, Sequence) else given)
    except ValidationError as error:
        raise ValueError(f"{name}: {_said(error)}; a range is [low, high] or {{low, high, log}}") from None


def _said(error: ValidationError) -> str:
    """The first mistake, as YAML has it."""
    first = error.errors()[0]
    where = "".join(f"{part}: " for part in first["loc"] if part in Range.model_fields)
    return where + first["msg"].removeprefix("Value error, ").replace("Input should", "should")


def _within(value: Any, found: Range) -> bool:
    return isinstance(value, int | float) and found.low <= value <= found.high
