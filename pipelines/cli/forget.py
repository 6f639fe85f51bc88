"""`lakeloom forget`: a person's rows leave tables, quarantine, features and scores."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pipelines.cli.terminal import Conf, Format, TargetName, checked, err, show_data, target_of, tell
from pipelines.errors import SpecError


def forget(
    conf: Conf,
    key: Annotated[list[str], typer.Option(help="COLUMN=VALUE of a table with `from`; may stand several times")],
    target: TargetName = "local",
    erase: Annotated[bool, typer.Option("--erase", help="do it; without, only say what would be erased")] = False,
    format: Format = "text",
) -> None:
    """Erase a person from tables, quarantine, features and scores, old versions too, and let nothing bring one back.

    COLUMN=- reads the value from stdin. What is written down is a token, by LAKELOOM_PII_KEY. Exit code 4: not all is
    done yet; the same command goes on.
    """
    from pipelines.run.forgetting import Subject, found
    from pipelines.run.forgetting import forget as forgotten

    subject = Subject(checked(conf), target_of(conf, target), dict(map(_pair, key)))
    if erase:
        show_data(format, forgotten(subject, tell), _done_text)
    else:
        err.print("nothing is erased without --erase; it would be:")
        show_data(format, found(subject), _text)


def _pair(text: str) -> tuple[str, str]:
    column, sign, value = text.partition("=")
    given = sys.stdin.readline().rstrip("\n") if value == "-" else value
    if not sign or not column or not given:
        raise SpecError("--key is COLUMN=VALUE; what it got is not repeated here")
    return column, given


def _text(said: Mapping[str, Any]) -> str:
    head = f"{'table':<46}{'rows':>10}{'old files':>11}{'MB':>9}"
    lines = [
        f"{x['table']:<46}{x['rows']:>10,}{x['old_files']:>11,}{x['old_bytes'] / 1e6:>9.1f}" for x in said["tables"]
    ]
    return "\n".join([head, *lines, *_rest(said)])


def _done_text(said: Mapping[str, Any]) -> str:
    head = f"{'table':<46}{'erased':>10}{'left':>7}{'read':>7}{'removed':>9}{'old files':>11}{'commits that name':>19}"
    lines = [
        f"{name:<46}{x['erased']:>10,}{x['rows_left']:>7,}{x['files_read']:>7,}{x['files_removed']:>9,}"
        f"{x['old_files']:>11,}{x['commits_that_name']:>19,}"
        for name, x in said["tables"].items()
    ]
    return "\n".join([head, *lines, *_rest(said)])


def _rest(said: Mapping[str, Any]) -> list[str]:
    counted = {
        name: "some, for its rows are gone" if rows is None else f"{rows:,}" for name, rows in said["models"].items()
    }
    models = [
        f"{name} learned from features with {rows} of these rows; train it anew" for name, rows in counted.items()
    ]
    return [*models, *[f"{name} was not searched: it has none of these columns" for name in said["unsearched"]]]
