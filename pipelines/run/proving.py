"""A registered version loads and scores in a clean process: the proof before an alias may move.

The process that trained a model has all of it in memory, and classes loaded
that another may lack. So a Python of its own, with a session of its own on one
core, loads the version by its number, as the next run will, and scores the
example that was stored at training; every answer has to be the stored one.

Cost: 10 to 20 s, nearly all of it the start of Java and Python, which `begin` does while the model is
logged. It runs for a version that passed its other gates, just before the alias moves.
"""

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.errors import LakeloomError, PlatformError
from pipelines.run import prover
from pipelines.spec import Target

LIMIT_S = 180  # for all of it; a machine under load takes its time
LARGEST_DIFFERENCE = 1e-9  # of a number
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


def begin(target: Target) -> None:
    """Start the process that will be asked for a proof. Does not wait."""
    place = alone(target)
    prover.begin("pipelines.run.proving", place.model_dump_json(include={"master", "driver_memory", "spark"}))


def prove(target: Target, asked: Asked) -> Proof:
    """Load and score a version in a clean process. Errors: PlatformError where the process itself fails.

    What is refused by one that has answered before, a new one has to refuse too; and none serves twice that loads code
    of the target's own.
    """
    begin(target)
    try:
        return _proof(target, asked, prover.used())
    finally:
        if target.extensions:
            prover.end()


def _proof(target: Target, asked: Asked, used: bool) -> Proof:
    if used:
        with suppress(PlatformError):
            proof = _answer(target, asked)
            if proof.passed:
                return proof
        prover.end()
        begin(target)
    return _answer(target, asked)


def _answer(target: Target, asked: Asked) -> Proof:
    question = json.dumps({"target": alone(target).model_dump_json(), "asked": asdict(asked)})
    try:
        return Proof(**json.loads(prover.ask(question, LIMIT_S)))
    except TimeoutError:
        return Proof(False, f"it did not answer within {LIMIT_S} s")
    except PlatformError as error:
        raise PlatformError(f"{asked.name}@{asked.number}: {error}") from None


def alone(target: Target) -> Target:
    """The same places, and a session of its own on one core: no cluster is asked."""
    return target.model_copy(update={"master": "local[1]", "submit": None})


def main() -> None:
    """The clean process: a target comes first, then questions, each answered by the proof as a line of JSON."""
    from pipelines.spark import start

    answers, questions = prover.answers(), prover.questions()
    for settings in questions:
        start(Target.model_validate_json(settings), "proof", brief=True)
        for question in questions:
            given = json.loads(question)
            asked = Asked(**{**given["asked"], "keys": tuple(given["asked"]["keys"])})
            answers.write(json.dumps(asdict(proved(Target.model_validate_json(given["target"]), asked))) + "\n")
    os._exit(0)  # its Java ends with it


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
