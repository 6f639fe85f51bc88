"""Table-level judgement: expectations that no single row decides, judged on the version just written.

What the commit log answers (row counts) costs nothing. The rest is judged by
Great Expectations itself; this is the only module that imports it, and only
when a table needs it, for the import alone takes seconds.
"""

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pyspark.sql import DataFrame

from pipelines.errors import DataError, PlatformError
from pipelines.spec import Expectation

PLACE = "lakeloom.place"  # of an expectation among those asked


@dataclass(frozen=True)
class Judgement:
    """One expectation, judged."""

    label: str
    on_fail: str
    success: bool
    observed: str

    def as_json(self) -> dict[str, object]:
        """For the run record."""
        return asdict(self)


def judge(df: Callable[[], DataFrame], rows: int, expectations: Sequence[Expectation]) -> tuple[Judgement, ...]:
    """Judge every expectation that is not fused, in the order of the conf.

    df   : gives the version to judge; called only if the log alone cannot answer.
    rows : of that version, from its log.
    Cost : nothing for row counts; for the others GX scans the version.
    Errors: DataError if GX could not carry out a check: zero checks are not a pass.
    """
    asked = [e for e in expectations if not e.fused]
    by_gx = [e for e in asked if e.name != "expect_table_row_count_to_be_between"]
    found = dict(zip(by_gx, _by_gx(df(), by_gx), strict=True)) if by_gx else {}
    return tuple(found[e] if e in found else _by_log(rows, e) for e in asked)


def warm() -> None:
    """Import Great Expectations ahead of its first use; seconds of pure Python."""
    _quietly_imported()


def failures(judgements: Sequence[Judgement]) -> str:
    """A sentence on those that must not be published; empty when there are none."""
    broken = [j for j in judgements if j.on_fail == "fail" and not j.success]
    return "; ".join(f"{j.label}: observed {j.observed}" for j in broken)


def _by_log(rows: int, expectation: Expectation) -> Judgement:
    a = expectation.arguments
    low, high = a.get("min_value", 0), a.get("max_value", rows)
    assert isinstance(low, int) and isinstance(high, int)
    return Judgement(expectation.label, expectation.on_fail, low <= rows <= high, f"{rows:,} rows")


def _by_gx(df: DataFrame, expectations: Sequence[Expectation]) -> list[Judgement]:
    results = _validate(df, expectations)
    if len(results) != len(expectations):
        raise DataError(f"{len(results)} of {len(expectations)} table expectations were carried out; none is published")
    return [_judgement(e, r) for e, r in zip(expectations, results, strict=True)]


def _validate(df: DataFrame, expectations: Sequence[Expectation]) -> list[Any]:
    gx, names = _quietly_imported()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = gx.data_context.types.base.ProgressBarsConfig(globally=False)
        frame = context.data_sources.add_spark("lakehouse", persist=False).add_dataframe_asset("table")
        batch = frame.add_batch_definition_whole_dataframe("version").get_batch({"dataframe": df})
        asked = [
            getattr(names, _camel(e.name))(**_plain(e.arguments), meta={PLACE: i}) for i, e in enumerate(expectations)
        ]
        found = batch.validate(gx.ExpectationSuite("table", expectations=asked), result_format="SUMMARY").results
        return sorted(found, key=lambda r: r.expectation_config.meta[PLACE])  # it gives them grouped by column


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
    raised = result.exception_info or {}
    if raised.get("raised_exception") or any(
        isinstance(v, dict) and v.get("raised_exception") for v in raised.values()
    ):
        raise DataError(f"{expectation.label}: Great Expectations could not check it: {str(raised)[:200]}")
    found = result.result
    if "unexpected_count" in found:
        text = f"{found['unexpected_count']:,} of {found['element_count']:,} rows unexpected"
    else:
        text = str(found.get("observed_value"))
    return Judgement(expectation.label, expectation.on_fail, bool(result.success), text)


def _camel(name: str) -> str:
    special = {"expect_column_pair_values_a_to_be_greater_than_b": "ExpectColumnPairValuesAToBeGreaterThanB"}
    return special.get(name) or "".join(part.title() for part in name.split("_"))


def _plain(arguments: dict[str, object]) -> dict[str, object]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()}
