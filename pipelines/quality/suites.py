"""Judgement of the version just written: every expectation that no writing pass decided, each by the cheapest who can.

Row counts are in the log and columns in the schema (shape.py); rows,
statistics and counted values are one or two aggregates (aggregates.py). What
neither decides is judged by Great Expectations itself (adapter.py), which is
imported only then, for the import alone takes seconds.
"""

from collections.abc import Callable, Iterable, Sequence

from pyspark.sql import DataFrame

from pipelines.errors import DataError
from pipelines.quality import adapter, aggregates
from pipelines.quality.fitting import misfit, unread
from pipelines.quality.judgement import Judgement, failures
from pipelines.quality.shape import by_log, by_schema
from pipelines.spec import Expectation

__all__ = ["Judgement", "failures", "judge", "warm"]


def judge(df: Callable[[], DataFrame], rows: int, expectations: Sequence[Expectation]) -> tuple[Judgement, ...]:
    """Judge every expectation that is not fused, in the order of the conf.

    df    : gives the version to judge; called only if the log alone cannot answer.
    rows  : of that version, from its log.
    Cost  : nothing for row counts and columns; one or two jobs for all that aggregates.py can judge.
    Errors: DataError if a check could not be carried out: zero checks are not a pass.
    """
    asked = [e for e in expectations if not e.fused]
    by_log_alone = all(e.tier == "log" for e in asked)
    found = [by_log(rows, e) for e in asked] if by_log_alone else _of_version(own(df()), rows, asked)
    if len(found) != len(asked):
        raise DataError(f"{len(found)} of {len(asked)} expectations were carried out; nothing is published")
    return tuple(found)


def warm(expectations: Iterable[Expectation]) -> None:
    """Import Great Expectations ahead of its first use, if it has one; seconds of pure Python."""
    if any(e.tier == "gx" for e in expectations):
        adapter.imported()


def _of_version(df: DataFrame, rows: int, asked: Sequence[Expectation]) -> list[Judgement]:
    for expectation in asked:
        flaw = misfit(expectation, df.schema) or unread(expectation, df.sparkSession)
        if flaw:
            raise DataError(flaw)
    found = {i: by_log(rows, e) for i, e in enumerate(asked) if e.tier == "log"}
    found |= {i: by_schema(df.schema, e) for i, e in enumerate(asked) if e.tier == "schema"}
    for tiers, judged_by in ((aggregates.TIERS, aggregates.judge), (frozenset({"gx"}), _by_gx)):
        places = [i for i, e in enumerate(asked) if e.tier in tiers]
        if places:
            found |= dict(zip(places, judged_by(df, rows, [asked[i] for i in places]), strict=True))
    return [found[i] for i in sorted(found)]


def _by_gx(df: DataFrame, rows: int, expectations: Sequence[Expectation]) -> list[Judgement]:
    results = adapter.validate(df, expectations)
    if len(results) != len(expectations):
        raise DataError(f"{len(results)} of {len(expectations)} expectations were carried out; nothing is published")
    return [adapter.judged(e, r) for e, r in zip(expectations, results, strict=True)]


def own(df: DataFrame) -> DataFrame:
    """The columns that the conf made; those of our bookkeeping begin with _."""
    return df.select(*[f"`{c}`" for c in df.columns if not c.startswith("_")])
