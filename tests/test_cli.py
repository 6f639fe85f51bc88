"""The face of the command line: its help is a golden file, its failures are sentences with the exit code that fits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app, guarded
from pipelines.cli.terminal import show_data
from pipelines.errors import ConflictError, DataError, PlatformError, SpecError

GOLDEN = Path(__file__).parent / "golden" / "help.txt"
VERBS = (
    "check",
    "plan",
    "run",
    "backfill",
    "restore",
    "show",
    "score",
    "monitor",
    "report",
    "validate",
    "doctor",
    "init",
    "schema",
    "export",
    "serve",
    "upkeep",
    "forget",
    "features",
    "reproduce",
    "submit",
    "lineage",
    "cost",
)
GROUPS = {
    "quarantine": ("list", "show", "replay"),
    "suite": ("export", "import"),
    "model": ("list", "show", "compare", "verify", "promote", "rollback"),
    "dag": ("compile", "lint"),
}


def shown() -> str:
    run = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"})
    groups = [(group, *verb) for group, verbs in GROUPS.items() for verb in ((), *((v,) for v in verbs))]
    pages = [(), *((v,) for v in VERBS), *groups]
    return "".join(run.invoke(app, [*page, "--help"]).output for page in pages)


def test_the_help_is_as_it_was():
    # a change of face is a visible line: python -m tests.test_cli > tests/golden/help.txt
    assert shown() == GOLDEN.read_text()


def test_no_verb_is_missing_from_the_golden_help():
    assert sorted(VERBS) == sorted(c.name or c.callback.__name__ for c in app.registered_commands)
    assert sorted(GROUPS) == sorted(g.name for g in app.registered_groups)


@pytest.mark.parametrize(
    ("error", "code"), [(PlatformError, 1), (SpecError, 2), (DataError, 3), (ConflictError, 4), (RuntimeError, 70)]
)
def test_each_kind_of_failure_has_its_exit_code(error, code, capsys):
    def fail() -> None:
        raise error("one sentence")

    assert guarded(fail) == code
    assert ("Traceback" in capsys.readouterr().err) is (code == 70)


def test_what_is_shown_is_shown_to_the_letter(capsys):
    label = "s: match regex (regex ^[a-z]+[/x]$)"

    show_data("text", [label], "".join)
    show_data("json", [label], "".join)

    assert capsys.readouterr().out == f'{label}\n[\n  "{label}"\n]\n'


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["frobnicate"], "No such command 'frobnicate'."),
        (["run"], "Missing argument 'conf'."),
        (["run", "conf/flights.yml", "--format", "xml"], "--format xml: can be text or json"),
        (
            ["quarantine", "replay", "conf/flights.yml", "tables.flights", "--repaired", "/nowhere"],
            "/nowhere: No such file or directory",
        ),
    ],
)
def test_a_slip_of_the_hand_is_one_sentence(typed, sentence, capsys):
    assert guarded(lambda: app(typed, standalone_mode=False)) == 2

    assert capsys.readouterr().err.strip() == f"error: {sentence}"


def test_the_schema_is_json_on_stdout():
    assert json.loads(CliRunner().invoke(app, ["schema"]).stdout)["title"] == "Lakeloom pipeline"


def test_the_command_starts_without_engine_and_without_data_frames():
    program = "import sys, pipelines.cli; print(*sorted(sys.modules))"

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    heavy = {"pyspark", "pandas", "numpy", "pyarrow", "deltalake", "mlflow", "great_expectations", "xgboost", "sqlglot"}
    assert not heavy & set(said.split())


LEAVING = """
import atexit, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pipelines.cli.terminal import leave
atexit.register(lambda: print("closed"))
pool = ThreadPoolExecutor(2)  # its idle threads wait for work until they are told to end
pool.submit(print, "worked").result()
threading.Thread(target=lambda: (time.sleep(0.2), print("ended"))).start()
class Torn:
    def __del__(self): print("torn")
torn = Torn()
leave(3)
"""


def test_a_process_ends_with_its_code_once_threads_and_what_waits_for_the_end_are_through():
    said = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, text=True, check=False, timeout=60)

    assert (said.returncode, said.stdout.split(), said.stderr) == (3, ["worked", "ended", "closed"], "")


if __name__ == "__main__":
    sys.stdout.write(shown())
