"""Great Expectations itself: what nobody else decides, a whole suite on demand, its Data Docs, its JSON.

The only module that imports it, and only where it is needed. Every context is
ephemeral, no scan is persisted, and no row comes to the driver.
"""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from pipelines.errors import DataError, PlatformError
from pipelines.quality.judgement import Judgement, of_rows, of_value
from pipelines.spec import Expectation
from pipelines.spec.suite import META

COUNTS: dict[str, object] = {"result_format": "BASIC", "partial_unexpected_count": 0}  # no rows to the driver
PLACE = "lakeloom.place"  # of an expectation among those asked
SPECIAL = {
    "expect_column_kl_divergence_to_be_less_than": "ExpectColumnKLDivergenceToBeLessThan",
    "expect_column_pair_values_a_to_be_greater_than_b": "ExpectColumnPairValuesAToBeGreaterThanB",
}
NOT_ON_SPARK = "like_pattern"  # part of the names that Great Expectations has for SQL databases alone
SITE = "lakeloom"


@dataclass(frozen=True)
class Asked:
    """The suite of one version of a table; only what Great Expectations can carry out on Spark."""

    name: str
    version: int
    frame: DataFrame
    expectations: tuple[Expectation, ...]


def document(asked: Sequence[Asked], folder: Path) -> list[list[Any]]:
    """Validate each suite and render all of them as Data Docs; the results of each, in the order of its expectations.

    folder: made; it has the pages of this validation alone.
    Cost  : Great Expectations' own: several scans of each version.
    """
    with _context() as (gx, context):
        for site in context.get_site_names():
            context.delete_data_docs_site(site)
        context.add_data_docs_site(SITE, _site(folder))
        frames = context.data_sources.add_spark("lakeloom", persist=False)
        results = [_validated(gx, context, frames, one) for one in asked]
        context.build_data_docs()
    return results


def validate(df: DataFrame, expectations: Sequence[Expectation], form: dict[str, object] = COUNTS) -> list[Any]:
    """Great Expectations' own results of all of them, in their order."""
    with _context() as (gx, context):
        frame = context.data_sources.add_spark("lakeloom", persist=False).add_dataframe_asset("table")
        batch = frame.add_batch_definition_whole_dataframe("version").get_batch({"dataframe": df})
        return _in_order(batch.validate(_suite(gx, "table", expectations), result_format=form).results)


def exported(name: str, expectations: Sequence[Expectation]) -> dict[str, Any]:
    """The suite as Great Expectations writes it; what only a conf says stands in each expectation's meta."""
    with _context() as (gx, _):
        found: dict[str, Any] = _suite(gx, name, expectations).to_json_dict()
    for expectation in found["expectations"]:
        expectation["meta"].pop(PLACE)
    return found


def judged(expectation: Expectation, result: Any) -> Judgement:
    """A result as everybody else gives it. Errors: DataError where the check could not be carried out."""
    raised = raised_by(result)
    if raised:
        raise DataError(f"{expectation.label}: Great Expectations could not check it: {raised}")
    found = result.result
    if "unexpected_count" not in found or "element_count" not in found:
        value = found.get("observed_value")
        return of_value(expectation, bool(result.success), value if isinstance(value, int | float) else str(value))
    rows, unexpected = found["element_count"] or 0, found["unexpected_count"] or 0
    counted = of_rows(expectation, rows, rows - (found.get("missing_count") or 0), unexpected)
    return replace(counted, success=bool(result.success))


def raised_by(result: Any) -> str:
    """The first line of what a check raised; empty if it was carried out."""
    info = result.exception_info or {}
    told = [info, *(v for v in info.values() if isinstance(v, dict))]
    found = [str(t.get("exception_message")) for t in told if t.get("raised_exception")]
    return found[0].strip().splitlines()[0][:200] if found else ""


def imported() -> tuple[Any, Any]:
    """The package and its expectations, without a word of theirs. Errors: PlatformError."""
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


@contextmanager
def _context() -> Iterator[tuple[Any, Any]]:
    gx, _ = imported()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = gx.data_context.types.base.ProgressBarsConfig(globally=False)
        yield gx, context


def _site(folder: Path) -> dict[str, object]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
    }


def _validated(gx: Any, context: Any, frames: Any, asked: Asked) -> list[Any]:
    batch = frames.add_dataframe_asset(asked.name).add_batch_definition_whole_dataframe(f"version {asked.version}")
    suite = context.suites.add(_suite(gx, asked.name, asked.expectations))
    definition = gx.ValidationDefinition(name=asked.name, data=batch, suite=suite)
    run = gx.RunIdentifier(run_name=f"version {asked.version}", run_time=datetime.now(UTC))
    ran = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": asked.frame}, result_format=COUNTS, run_id=run
    )
    return _in_order(ran.results)


def _in_order(results: Sequence[Any]) -> list[Any]:
    """As asked; Great Expectations gives them grouped by column."""
    return sorted(results, key=lambda r: r.expectation_config.meta[PLACE])


def _suite(gx: Any, name: str, expectations: Sequence[Expectation]) -> Any:
    return gx.ExpectationSuite(name, expectations=[_expectation(e, i) for i, e in enumerate(expectations)])


def _expectation(expectation: Expectation, place: int) -> Any:
    _, names = imported()
    arguments = {k: _plain(v) for k, v in expectation.arguments.items()}
    if "row_condition" in arguments:
        arguments["condition_parser"] = "spark"
    cls = SPECIAL.get(expectation.name) or "".join(part.title() for part in expectation.name.split("_"))
    ours = {"on_fail": expectation.on_fail, "severity": expectation.promise.severity}
    return getattr(names, cls)(**arguments, meta={PLACE: place, META: ours})


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
