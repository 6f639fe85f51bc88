"""A registered version loads and scores in a clean process: the proof before an alias may move.

The process that trained a model has all of it in memory, and classes loaded
that another may lack. So a Python of its own, with a session of its own on one
core, loads the version by its number, as the next run will, and scores the
example that was stored at training; every answer has to be the stored one.

Cost: 10 to 20 s, nearly all of it the start of Java and Python. It therefore runs
once, for a version that passed its other gates, just before the alias moves.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import LakeloomError, PlatformError
from pipelines.spec import Target

LIMIT_S = 180  # for all of it; a machine under load takes its time
LARGEST_DIFFERENCE = 1e-9  # of a number
INHERITED = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "PYSPARK_SUBMIT_ARGS")  # would lead to our own Java
GATE = "loads and scores in a clean process"


@dataclass(frozen=True)
class Asked:
    """Which version, and what a score row takes from its feature table."""

    name: str
    number: int
    keys: tuple[str, ...]
    as_of_time: str


@dataclass(frozen=True)
class Proof:
    """What came of it, in words."""

    passed: bool
    why: str

    def as_gate(self) -> dict[str, object]:
        """As gates stand in the run record."""
        return {"gate": GATE, "passed": self.passed, "why": self.why}


def prove(target: Target, asked: Asked) -> Proof:
    """Load and score a version in a process of its own. Errors: PlatformError where the process itself fails."""
    place = alone(target)
    given = json.dumps({"target": place.model_dump_json(), "asked": asdict(asked)})
    command = [sys.executable, "-m", "pipelines.run.proving"]
    try:
        done = subprocess.run(command, input=given, env=environment(), capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return Proof(False, f"it did not answer within {LIMIT_S} s")
    said = done.stdout.splitlines()
    if done.returncode or not said:
        raise PlatformError(f"{asked.name}@{asked.number}: a clean process {_died(done.returncode, done.stderr)}")
    return Proof(**json.loads(said[-1]))


def alone(target: Target) -> Target:
    """The same places, and a session of its own on one core: no cluster is asked."""
    return target.model_copy(update={"master": "local[1]", "submit": None})


def environment() -> dict[str, str]:
    """Of the clean process: it imports what this one does, and finds Spark.

    A container of YARN's has no SPARK_HOME, and pyspark as a zip without Java's part before that of its environment.
    """
    clean = {k: v for k, v in os.environ.items() if k not in INHERITED}
    clean["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)  # what spark-submit has added is in no variable
    homes = [home for p in sys.path if (home := Path(p, "pyspark")).joinpath("bin", "spark-submit").exists()]
    return {**({"SPARK_HOME": str(homes[0])} if homes else {}), **clean}


def _died(code: int, said: str) -> str:
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "said nothing")
    return f"ended with {code}: {last[:300]}"


def main() -> None:
    """The clean process: what to prove comes on stdin, the proof goes to stdout as a line of JSON."""
    from pipelines.spark import session

    given = json.loads(sys.stdin.read())
    target = Target.model_validate_json(given["target"])
    asked = Asked(**{**given["asked"], "keys": tuple(given["asked"]["keys"])})
    with session(target, f"proof {asked.name}", brief=True):
        proof = proved(target, asked)
    sys.stdout.write(json.dumps(asdict(proof)) + "\n")


def proved(target: Target, asked: Asked) -> Proof:
    """The same, in this process and its session. A failure to load is an answer, not an error."""
    from pipelines.registry import Registry
    from pipelines.run import example

    registry = Registry(target)
    try:
        version = registry.version(asked.name, str(asked.number))
        stored = registry.kept(version.run_id, example.NAME)
        found = example.answered(registry, version, asked.keys, asked.as_of_time) if stored else []
    except LakeloomError as error:
        return Proof(False, str(error))
    except Exception as error:  # whatever a model that cannot be loaded raises
        return Proof(False, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}")
    if not stored:
        return Proof(True, "loaded; it was trained before examples were stored, so no score was compared")
    return compared(stored["answers"], found)


def compared(was: list[dict[str, Any]], now: list[dict[str, Any]]) -> Proof:
    """Score rows as they were answered at training, and as they are now."""
    if len(was) != len(now):
        return Proof(False, f"it answered {len(now)} rows of {len(was)}")
    for number, (old, new) in enumerate(zip(was, now, strict=True)):
        for column in old:
            if not alike(old[column], new.get(column)):
                return Proof(False, f"row {number}: {column} was {old[column]} at training and is {new.get(column)}")
    return Proof(True, f"{len(now)} rows as at training")


def alike(old: Any, new: Any) -> bool:
    """Numbers within LARGEST_DIFFERENCE, anything else equal; through lists and mappings."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(alike(old[k], new[k]) for k in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(alike, old, new))
    if isinstance(old, float) and isinstance(new, float):
        return abs(old - new) <= LARGEST_DIFFERENCE or (math.isnan(old) and math.isnan(new))
    return bool(old == new)


if __name__ == "__main__":
    main()
