"""The SQL of fitted stages as nodes of a graph: missing is NaN, which is what their null is.

Times are whole microseconds. Their parts are counted in whole numbers, by the
proleptic Gregorian calendar as Spark counts them (days from civil: Hinnant 2013).
"""

from collections.abc import Callable
from math import pi

from pipelines.columns import Call, Constant, Name, Node
from pipelines.errors import DataError
from pipelines.models.graphs.draft import Draft, Tensor
from pipelines.signature import NO_TIME

NULL = float("nan")
SIMPLE = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "abs": "Abs", "sin": "Sin",
    "or": "Or", "eq": "Equal", "gt": "Greater", "isnan": "IsNaN", "rint": "Round",
}  # fmt: skip
TRUE = ("or", "eq", "gt", "isnan")  # of those, what says yes or no
DAY = 86_400_000_000  # microseconds
TO_MARCH = 719_468  # days from 0000-03-01, where a year ends with its leap day, to 1970-01-01
MOST_INDEX = 1_000  # of a number that becomes a text


def compiled(draft: Draft, node: Node) -> Tensor:
    """A vector. Errors: DataError for what has no node here."""
    if isinstance(node, Name):
        return draft.column(node.column) if draft.has(node.column) else draft.feature(node.column, "number")
    if isinstance(node, Constant):
        if isinstance(node.value, str):
            return draft.constant(node.value, "string")
        return draft.constant(NULL if node.value is None else node.value)
    if node.op in SIMPLE:
        inputs = [compiled(draft, arg) for arg in node.args]
        made = Tensor("", "bool") if node.op in TRUE else Tensor("")
        return draft.op(SIMPLE[node.op], *inputs, made=made)
    if node.op not in _CALLS:
        raise DataError(f"{node.op}() has no node in a graph")
    return _CALLS[node.op](draft, *node.args)


def _cos(draft: Draft, value: Node) -> Tensor:
    """By the sine, which the runtime has for doubles as well."""
    return draft.op("Sin", draft.op("Add", compiled(draft, value), draft.constant(pi / 2)))


def _double(draft: Draft, value: Node) -> Tensor:
    return draft.cast(compiled(draft, value), "double")


def _text(draft: Draft, value: Node) -> Tensor:
    """A category enters as its text."""
    if not isinstance(value, Name) or draft.has(value.column):
        raise DataError("a number becomes a text only as a feature")
    return draft.feature(value.column, "category")


def _coalesce(draft: Draft, value: Node, other: Node) -> Tensor:
    """A text that is missing enters as what Spark makes of it, so nothing is to be done."""
    if isinstance(other, Constant) and isinstance(other.value, str):
        return draft.feature(value.column, "text") if isinstance(value, Name) else compiled(draft, value)
    found = compiled(draft, value)
    return draft.op("Where", _missing(draft, found), compiled(draft, other), found, made=found)


def _is(draft: Draft, value: Node, null: Node) -> Tensor:
    return _missing(draft, compiled(draft, value))


def _missing(draft: Draft, value: Tensor) -> Tensor:
    return draft.op("IsNaN", value, made=Tensor("", "bool"))


def _if(draft: Draft, condition: Node, yes: Node, no: Node) -> Tensor:
    one, other = compiled(draft, yes), compiled(draft, no)
    return draft.op("Where", compiled(draft, condition), one, other, made=one)


def _lpad(draft: Draft, value: Node, width: Node, fill: Node) -> Tensor:
    """Of a small whole number, by a list of all of them."""
    assert isinstance(width, Constant) and isinstance(fill, Constant) and isinstance(value, Call)
    texts = [str(i).rjust(int(width.value or 0), str(fill.value)) for i in range(MOST_INDEX)]
    return draft.gathered(texts, compiled(draft, value.args[0]), "string")


def _part(counted: Callable[["_Whole", Tensor], Tensor]) -> Callable[..., Tensor]:
    """A part of a timestamp, NaN where that is missing; the part is counted from 0000-03-01."""

    def made(draft: Draft, value: Node) -> Tensor:
        assert isinstance(value, Name)
        time = draft.feature(value.column, "time")
        missing = draft.op("Equal", time, draft.constant(NO_TIME, "int64"), made=Tensor("", "bool"))
        known = draft.op("Where", missing, draft.constant(0, "int64"), time, made=Tensor("", "int64"))
        whole = _Whole(draft)
        part = draft.cast(counted(whole, whole.add(known, TO_MARCH * DAY)), "double")
        return draft.op("Where", missing, draft.constant(NULL), part, made=Tensor(""))

    return made


class _Whole:
    """Arithmetic of whole numbers that are not negative, so that division rounds down."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft

    def add(self, a: Tensor, b: Tensor | int) -> Tensor:
        """a + b"""
        return self._op("Add", a, b)

    def sub(self, a: Tensor, b: Tensor | int) -> Tensor:
        """a - b"""
        return self._op("Sub", a, b)

    def mul(self, a: Tensor, b: int) -> Tensor:
        """a x b"""
        return self._op("Mul", a, b)

    def div(self, a: Tensor, b: int) -> Tensor:
        """a / b, rounded down"""
        return self._op("Div", a, b)

    def mod(self, a: Tensor, b: int) -> Tensor:
        """What is left of a / b."""
        return self._op("Mod", a, b)

    def less(self, a: Tensor, b: int) -> Tensor:
        """1 where a < b, else 0"""
        found = self.draft.op("Less", a, self.draft.constant(b, "int64"), made=Tensor("", "bool"))
        return self.draft.cast(found, "int64")

    def _op(self, kind: str, a: Tensor, b: Tensor | int) -> Tensor:
        return self.draft.op(kind, a, b if isinstance(b, Tensor) else self.draft.constant(b, "int64"))


def _hour(w: _Whole, time: Tensor) -> Tensor:
    return w.div(w.mod(time, DAY), 3_600_000_000)


def _minute(w: _Whole, time: Tensor) -> Tensor:
    return w.mod(w.div(w.mod(time, DAY), 60_000_000), 60)


def _weekday(w: _Whole, time: Tensor) -> Tensor:
    """0 is Monday; 0000-03-01 was a Wednesday."""
    return w.mod(w.add(w.div(time, DAY), 2), 7)


def _year_and_day(w: _Whole, time: Tensor) -> tuple[Tensor, Tensor]:
    """The year within its 400, and the day within the year, both from March on."""
    day = w.mod(w.div(time, DAY), 146_097)
    leaps = w.sub(w.add(w.sub(day, w.div(day, 1_460)), w.div(day, 36_524)), w.div(day, 146_096))
    year = w.div(leaps, 365)
    before = w.sub(w.add(w.mul(year, 365), w.div(year, 4)), w.div(year, 100))
    return year, w.sub(day, before)


def _month(w: _Whole, time: Tensor) -> Tensor:
    """March is 0 of the year from March on; from the tenth on it is the next year's."""
    _, day = _year_and_day(w, time)
    month = w.div(w.add(w.mul(day, 5), 2), 153)
    return w.add(w.sub(month, 9), w.mul(w.less(month, 10), 12))


def _dayofyear(w: _Whole, time: Tensor) -> Tensor:
    """From 1; after February a leap year's are one more. Of January and February the year ends 306 days after March."""
    year, day = _year_and_day(w, time)
    by_4, by_100 = w.less(w.mod(year, 4), 1), w.less(w.mod(year, 100), 1)
    leap = w.add(w.sub(by_4, by_100), w.less(year, 1))
    spring = w.less(day, 306)
    after = w.draft.op("Mul", w.add(leap, 59 + 306), spring)
    return w.add(w.sub(day, 305), after)


_CALLS: dict[str, Callable[..., Tensor]] = {
    "cos": _cos, "double": _double, "text": _text, "coalesce": _coalesce, "is": _is, "if": _if, "lpad": _lpad,
    "hour": _part(_hour), "minute": _part(_minute), "weekday": _part(_weekday), "month": _part(_month),
    "dayofyear": _part(_dayofyear),
}  # fmt: skip
