"""The tests of a conf at a terminal: a line for each as it ends, then what was not as expected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from pipelines.cli.terminal import err, show_data
from pipelines.errors import DataError


def carried_out_tests(conf: Path, place: Any, only: str, format: str) -> None:
    """Run the tests of a conf, show how they ended. Errors: SpecError for a wrong one, DataError for one that fails."""
    from pipelines.cases.finding import found

    cases = found(conf, only)
    from pipelines.cases.trying import tried  # the engine, from here on

    results = []
    for result in tried(cases, place):
        results.append(result)
        _ended(result)
    show_data(format, [r.as_json() for r in results], lambda _: _text(results))
    failed = [str(r.found) for r in results if not r.passed]
    if failed:
        raise DataError(f"{conf}: {len(failed)} of {len(results)} tests failed: {'; '.join(failed)}")


def _ended(result: Any) -> None:
    colour, how = ("green", "passed") if result.passed else ("red", "failed")
    err.print(f"[{colour}]{how}[/{colour}] in {result.seconds:4.1f} s  {escape(str(result.found))}")


def _text(results: Sequence[Any]) -> str:
    pipeline, passed = results[0].found.pipeline.pipeline, sum(r.passed for r in results)
    seconds = sum(r.seconds for r in results)
    told = f"{pipeline}: {passed} of {len(results)} tests passed in {seconds:.0f} s"
    return "\n\n".join([*(r.text() for r in results if not r.passed), told])
