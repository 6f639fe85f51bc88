"""What can be known to be wrong with an expectation before an engine starts: its SQL, and bounds that nothing can keep.

The columns it names are checked where all names of a table are (check.py);
whether they are of a fitting type is known once there is a schema
(quality/fitting.py).
"""

from collections.abc import Iterator
from datetime import datetime

from pipelines.columns import Columns, lineage, refuse, refuse_expression, replace_now
from pipelines.errors import SpecError
from pipelines.spec import Expectation

ANY_TIME = datetime(2000, 1, 1)


def broken(expectation: Expectation, made: Columns) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys within the expectation, sentence) of each flaw. made: the columns of its table."""
    for key, refused in (("row_condition", _refuse_condition), ("unexpected_rows_query", _refuse_query)):
        text = expectation.arguments.get(key)
        try:
            if isinstance(text, str):
                refused(text, made)
        except SpecError as error:
            yield (key,), str(error)
    low, high = expectation.arguments.get("min_value"), expectation.arguments.get("max_value")
    strict = any(expectation.arguments.get(key) for key in ("strict_min", "strict_max"))
    if _crossed(low, high, strict):
        ends = [f"{end:g}" if isinstance(end, int | float) else str(end) for end in (low, high)]
        yield (), f"nothing lies between {' and '.join(ends)}"


def _refuse_condition(text: str, made: Columns) -> None:
    """A row is looked at or not by its own columns alone."""
    if not refuse_expression(text, tuple(made)):
        raise SpecError(f"'{text}' reads no column of the table")
    _refuse_clock(text)


def _refuse_query(text: str, made: Columns) -> None:
    """The table stands in it as {batch}, and nothing else does."""
    if "{batch}" not in text:
        raise SpecError("does not read {batch}, which stands for the table")
    select = text.replace("{batch}", "batch")
    refuse(select, ["batch"])
    lineage(select, {"batch": tuple(made)})
    _refuse_clock(select)


def _refuse_clock(text: str) -> None:
    if replace_now(text, ANY_TIME) != text:
        raise SpecError("reads the clock; a version is judged by what it holds, whenever that is")


def _crossed(low: object, high: object, strict: bool) -> bool:
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    moments = isinstance(low, str) and isinstance(high, str)  # ISO: in the order of time
    return (numbers or moments) and (low > high or (strict and low == high))  # type: ignore[operator]
