"""Land a damaged file beside a good one, many times, and see that no row is lost, doubled or half-published.

    PYTHONPATH=.:scripts:tests python -m corpus.trials [--trials 25] [--seed 1]

Each trial takes its seed's format, policy and way of damage (damage.py), runs,
and holds what came of it against what has to: each row of both files is in
exactly one of table and quarantine, and a second run finds nothing to do; or
the table is refused with one sentence and nothing is published, and once the
damaged file is gone the good rows are. All trials share one session. A failing
seed alone repeats it: --trials 1 --seed S.
"""

import gzip
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pyarrow.parquet as pq
from e2e.project import Project, Said, project
from seeded import Result, seeds, told

from corpus.damage import SCHEMA, WAYS, Given, packed, rows
from pipelines.columns import ddl

POLICIES = ("fail", "add_columns", "quarantine")
GOOD_ROWS, OTHER_ROWS = 5, 4
MOST_S, MOST_BYTES, MOST_LETTERS = 60, 2 << 30, 700
BLANK = {"csv": bytes(range(33)), "json": b" \t\r\n"}


@dataclass(frozen=True)
class Trial:
    """What a seed decides."""

    seed: int
    form: str
    policy: str
    way: str
    keyed: bool
    good: bytes
    names: dict[int, str]  # of the good rows, by id
    other: bytes
    name: str  # of the damaged file

    @property
    def text(self) -> str:
        """In a line."""
        return f"seed={self.seed} {self.name} {self.way} under {self.policy}{', keyed' if self.keyed else ''}"


def trial(seed: int) -> Trial:
    """The trial of a seed: the same for ever."""
    chance = random.Random(seed)
    form, policy = chance.choice(tuple(WAYS)), chance.choice(POLICIES)
    way = chance.choice(tuple(WAYS[form]))
    given = Given(form, rows(chance, 20_000_000, OTHER_ROWS), chance)
    good = rows(chance, 10_000_000, GOOD_ROWS)
    keyed, whole = chance.random() < 0.2, WAYS[form][way](given)
    name = f"other.{form}"
    if form != "parquet" and whole and chance.random() < 0.15:
        whole, name = packed(given, whole), f"{name}.gz"
    names = {row["id"]: row["name"] for row in good}
    return Trial(seed, form, policy, way, keyed, given.written(good), names, whole, name)


def tried(root: Path, seed: int) -> Result:
    """(what was done and came of it, what is wrong with that; '' for nothing)."""
    asked, begun = trial(seed), time.monotonic()
    made = _project(root, asked)
    said = made.lakeloom("run")
    found = _taken(made, asked) if said.code == 0 else _refused(made, asked, said)
    wrong = [*found, *_costs(time.monotonic() - begun)]
    return f"{asked.text}: {_came(made, said)}", "; ".join(wrong)


def _project(root: Path, asked: Trial) -> Project:
    made = project(root, "corpus")
    table: dict[str, Any] = {"from": "raw", "select": f"SELECT {', '.join(ddl(SCHEMA))} FROM raw"}
    more = {"keys": ["id"], "sequence_by": "at"} if asked.keyed else {}
    said = {"kind": "files", "format": asked.form, "path": "in", "schema": SCHEMA, "on_schema_change": asked.policy}
    made.write(sources={"raw": said}, tables={"held": {**table, **more}})
    made.land(f"in/good.{asked.form}", asked.good)
    made.land(f"in/{asked.name}", asked.other)
    return made


def _came(made: Project, said: Said) -> str:
    if said.code:
        return f"{said.code} {said.err.splitlines()[-1][:200]}"
    counts = made.records("tables.held")[-1].counts
    return ", ".join(f"{v} {k}" for k, v in counts.items() if v and "file" not in k)


def _taken(made: Project, asked: Trial) -> Iterator[str]:
    """The batch was taken: every row has one fate, and a second run adds nothing."""
    table, refused = made.published("tables.held"), made.rows("tables.held", "quarantine")
    counts = made.records("tables.held")[-1].counts
    came = GOOD_ROWS + _held(asked)
    fates = [counts[k] for k in ("applied", "superseded", "quarantined", "dropped", "deleted")]
    if not counts["rows_in"] == sum(fates) == came:
        yield f"{came} rows came, {counts}"
    if (len(table), len(refused)) != (counts["applied"], counts["quarantined"]):
        yield f"{len(table)} rows in the table, {len(refused)} in quarantine, {counts}"
    if {r["id"]: r["name"] for r in table if r["id"] in asked.names} != asked.names:
        yield "a good row is not in the table as it came"
    if "nothing to do" not in made.lakeloom("run").out:
        yield "a second run found something to do"


def _held(asked: Trial) -> int:
    """Records of the damaged file, counted from its bytes, or by another reader of Parquet."""
    if asked.form == "parquet":
        return int(pq.ParquetFile(BytesIO(asked.other)).metadata.num_rows)
    whole = gzip.decompress(asked.other) if asked.name.endswith(".gz") else asked.other
    lines = [line for line in re.split(rb"\r\n|\n|\r", whole) if line.strip(BLANK[asked.form])]
    return len(lines) - (asked.form == "csv")


def _refused(made: Project, asked: Trial, said: Said) -> Iterator[str]:
    """The batch was refused: by one sentence, nothing is published, and what is good goes in once it is alone."""
    *_, last = said.err.splitlines() or [""]
    if said.code not in (2, 3) or "Traceback" in said.err or not last.startswith("error: ") or len(last) > MOST_LETTERS:
        yield f"exit {said.code}: {said.err[-1500:]}"
    records = made.records("tables.held")
    if made.rows("tables.held") or made.rows("tables.held", "quarantine") or any(r.status != "failed" for r in records):
        yield "something was published"
    if any(r.published_version is not None for r in records):
        yield "a record says that something was published"
    (made.landing / "in" / asked.name).unlink()
    again = made.lakeloom("run")
    if again.code or {r["id"]: r["name"] for r in made.rows("tables.held")} != asked.names:
        yield f"without the file the good rows did not go in: {again.err[-500:]}"


def _costs(seconds: float) -> Iterator[str]:
    me = psutil.Process()
    used = sum(p.memory_info().rss for p in (me, *me.children(recursive=True)))
    if seconds > MOST_S:
        yield f"took {seconds:.0f} s"
    if used > MOST_BYTES:
        yield f"holds {used >> 20} MiB"


def trials(asked: Iterable[int]) -> Iterator[Result]:
    """A trial for each seed, in one session."""
    from pipelines.spark import session
    from pipelines.spec import Target

    with TemporaryDirectory() as folder, session(Target(master="local[2]", driver_memory="1g"), "corpus"):
        for seed in asked:
            yield tried(Path(folder) / str(seed), seed)


def main() -> int:
    """Run the trials; 1 if any went wrong."""
    return told(trials(seeds("Land damaged files.", trials=25)))


if __name__ == "__main__":
    sys.exit(main())
