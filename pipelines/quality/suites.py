"""Judgement of the version just written: every expectation that no writing pass decided, each by the cheapest who can.

Row counts are in the log and columns in the schema (shape.py); rows,
statistics and counted values are one or two aggregates (aggregates.py). What
neither decides is judged by Great Expectations itself; this is the only
module that imports it, and only then, for the import alone takes seconds.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame

from pipelines.errors import DataError, PlatformError
from pipelines.quality import aggregates
from pipelines.quality.fitting import misfit, unread
from pipelines.quality.judgement import Judgement, failures, of_rows, of_value
from pipelines.quality.shape import by_log, by_schema
from pipelines.spec import Expectation

__all__ = ["Judgement", "failures", "judge", "warm"]

COUNTS: dict[str, object] = {"result_format": "BASIC", "partial_unexpected_count": 0}  # no rows to the driver
PLACE = "lakeloom.place"  # of an expectation among those asked
SPECIAL = {
    "expect_column_kl_divergence_to_be_less_than": "ExpectColumnKLDivergenceToBeLessThan",
    "expect_column_pair_values_a_to_be_greater_than_b": "ExpectColumnPairValuesAToBeGreaterThanB",
}


def judge(df: Callable[[], DataFrame], rows: int, expectations: Sequence[Expectation]) -> tuple[Judgement, ...]:
    """Judge every expectation that is not fused, in the order of the conf.

    df    : gives the version to judge; called only if the log alone cannot answer.
    rows  : of that version, from its log.
    Cost  : nothing for row counts and columns; one or two jobs for all that aggregates.py can judge.
    Errors: DataError if a check could not be carried out: zero checks are not a pass.
    """
    asked = [e for e in expectations if not e.fused]
    by_log_alone = all(e.tier == "log" for e in asked)
    found = [by_log(rows, e) for e in asked] if by_log_alone else _of_version(_own(df()), rows, asked)
    if len(found) != len(asked):
        raise DataError(f"{len(found)} of {len(asked)} expectations were carried out; nothing is published")
    return tuple(found)


def warm(expectations: Iterable[Expectation]) -> None:
    """Import Great Expectations ahead of its first use, if it has one; seconds of pure Python."""
    if any(e.tier == "gx" for e in expectations):
        _quietly_imported()


def _own(df: DataFrame) -> DataFrame:
    """The columns that the conf made; those of our bookkeeping begin with _."""
    return df.select(*[f"`{c}`" for c in df.columns if not c.startswith("_")])


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
    results = validate(df, expectations)
    if len(results) != len(expectations):
        raise DataError(f"{len(results)} of {len(expectations)} expectations were carried out; nothing is published")
    return [_judgement(e, r) for e, r in zip(expectations, results, strict=True)]


def validate(df: DataFrame, expectations: Sequence[Expectation], form: dict[str, object] = COUNTS) -> list[Any]:
    """Great Expectations' own results of all of them, in their order; none of its scans is persisted."""
    gx, names = _quietly_imported()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = gx.data_context.types.base.ProgressBarsConfig(globally=False)
        frame = context.data_sources.add_spark("lakehouse", persist=False).add_dataframe_asset("table")
        batch = frame.add_batch_definition_whole_dataframe("version").get_batch({"dataframe": df})
        asked = [_asked(names, e, i) for i, e in enumerate(expectations)]
        found = batch.validate(gx.ExpectationSuite("table", expectations=asked), result_format=form).results
        return sorted(found, key=lambda r: r.expectation_config.meta[PLACE])  # it gives them grouped by column


def _asked(names: Any, expectation: Expectation, place: int) -> Any:
    arguments = {k: _plain(v) for k, v in expectation.arguments.items()}
    if "row_condition" in arguments:
        arguments["condition_parser"] = "spark"
    cls = SPECIAL.get(expectation.name) or "".join(part.title() for part in expectation.name.split("_"))
    return getattr(names, cls)(**arguments, meta={PLACE: place})


def _quietly_imported() -> tuple[Any, Any]:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import great_expectations as gx
            import great_expectations.expectations as names
        except SystemExit as stop:  # pyspark.sql.connect ends a process that has no main file
            raise PlatformError(
                "Great Expectations cannot be imported without a main file; use `lakeloom run`"
            ) from stop
    return gx, names


def _judgement(expectation: Expectation, result: Any) -> Judgement:
    raised = raised_by(result)
    if raised:
        raise DataError(f"{expectation.label}: Great Expectations could not check it: {raised}")
    found = result.result
    if "unexpected_count" not in found or "element_count" not in found:
        value = found.get("observed_value")
        return of_value(expectation, bool(result.success), value if isinstance(value, int | float) else str(value))
    rows, unexpected = found["element_count"] or 0, found["unexpected_count"] or 0
    judged = of_rows(expectation, rows, rows - (found.get("missing_count") or 0), unexpected)
    return replace(judged, success=bool(result.success))


def raised_by(result: Any) -> str:
    """The first line of what a check raised; empty if it was carried out."""
    info = result.exception_info or {}
    told = [info, *(v for v in info.values() if isinstance(v, dict))]
    found = [str(t.get("exception_message")) for t in told if t.get("raised_exception")]
    return found[0].strip().splitlines()[0][:200] if found else ""


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
