"""b11a: the flights pipeline, from landed files to published scores, against the same job written by hand.

Each run is a whole process: `lakeloom run conf/flights.yml`, and
peers/flights.py with Spark's defaults or with the session options that ours
has (tuned). Three sizes: `2013-11`, all months up to that on an empty warehouse;
`2013-11 + 3d`, the next month's first days on top of it; `+ nothing`, no file
more. The script does what such scripts do: everything, each time. Both arms
must end with the same flights, arrival times and delays.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from deltalake import DeltaTable

from benchmarks.machine import run_process
from benchmarks.measure import Answer, Arm, Contest
from pipelines.spark import ALWAYS, SHUFFLE_TASKS_A_CORE
from pipelines.spec import Target

REPOSITORY = Path(__file__).resolve().parent.parent
COMPARED = ["flight_id", "actual_arrival", "arr_delay"]


@dataclass(frozen=True)
class Size:
    """How much has landed, how much arrives on top of it, and how often each is run."""

    landed: str  # the last month
    arriving: str  # the month whose first `days` arrive
    days: int
    pairs: int
    control_pairs: int


SIZES = {
    "quick": Size("2013-02", "2013-03", days=1, pairs=3, control_pairs=1),
    "full": Size("2013-11", "2013-12", days=3, pairs=5, control_pairs=3),  # 308,641 rows, and 1 % more
}


@dataclass(frozen=True)
class Entrant:
    """One way to run the job, with a folder of its own: `work` for a run, `base` as a full run left it."""

    name: str
    folder: Path
    argv: tuple[str, ...]
    landing: str  # the rest: under work
    flights: str
    conf: bool = False

    @property
    def work(self) -> Path:
        """Always the same place, since a tracking server remembers where its artifacts lie."""
        return self.folder / "work"

    def arm(self, landed: Path, arriving: Path | None = None) -> Arm:
        """The job on what had landed; or, on top of that, on what arrives."""
        prepare = (lambda: self._empty(landed)) if arriving is None else (lambda: self._on_top(landed, arriving))
        return Arm(self.name, prepare, self._run, self._answer)

    def _empty(self, landed: Path) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(landed, self.work / self.landing)
        if self.conf:
            shutil.copytree(REPOSITORY / "conf", self.work / "conf")

    def _on_top(self, landed: Path, arriving: Path) -> None:
        base = self.folder / "base"
        if not base.exists():
            self._empty(landed)
            self._run()
            shutil.copytree(self.work, base)
        shutil.rmtree(self.work)
        shutil.copytree(base, self.work)
        shutil.copytree(arriving, self.work / self.landing, dirs_exist_ok=True)

    def _run(self) -> None:
        run_process(self.argv, self.work, self.folder / "log")

    def _answer(self) -> Answer:
        columns = DeltaTable(self.work / self.flights).to_pyarrow_table(columns=COMPARED).to_pydict()
        hashes = [blake2b(repr(row).encode(), digest_size=8) for row in zip(*columns.values(), strict=True)]
        return Answer(len(hashes), f"{sum(int(h.hexdigest(), 16) for h in hashes) % 2**64:016x}")


def contests(profile: str, scratch: Path) -> Iterator[Contest]:
    """All, a little more, nothing more; the quick profile leaves out the peer with Spark's defaults."""
    size = SIZES[profile]
    landed, arriving, nothing = scratch / "landed", scratch / "arriving", scratch / "nothing"
    _land(size.landed, landed)
    _first_days(size, scratch / "later", arriving)
    nothing.mkdir()
    ours, tuned, default = _entrants(scratch)
    peers = (tuned,) if profile == "quick" else (tuned, default)
    for more, said in ((None, ""), (arriving, f" + {size.days}d"), (nothing, " + nothing")):
        arms = tuple(peer.arm(landed, more) for peer in peers)
        yield Contest("b11a", f"{size.landed}{said}", ours.arm(landed, more), arms, size.pairs, 0, size.control_pairs)


def _entrants(scratch: Path) -> tuple[Entrant, Entrant, Entrant]:
    script = str(REPOSITORY / "benchmarks" / "peers" / "flights.py")
    places = ("--landing", "landing", "--out", "out", "--tracking", "sqlite:///mlflow.db")
    conf = tuple(word for key, value in _tuned().items() for word in ("--conf", f"{key}={value}"))
    lakeloom = str(Path(sys.executable).parent / "lakeloom")
    ours = (lakeloom, "run", "conf/flights.yml")
    script_argv = (sys.executable, script, *places)
    return (
        Entrant("ours", scratch / "ours", ours, Target().landing, f"{Target().warehouse}/flights/tables/flights", True),
        Entrant("tuned", scratch / "tuned", (*script_argv, *conf), "landing", "out/flights"),
        Entrant("default", scratch / "default", script_argv, "landing", "out/flights"),
    )


def _tuned() -> dict[str, str]:
    """Our session's options, so that the peer is not beaten by a setting."""
    tasks = SHUFFLE_TASKS_A_CORE * (os.cpu_count() or 1)
    return {**ALWAYS, "spark.sql.shuffle.partitions": str(tasks), "spark.driver.memory": Target().driver_memory}


def _land(through: str, to: Path) -> None:
    argv = [sys.executable, str(REPOSITORY / "scripts" / "land.py"), "--through", through, "--to", str(to)]
    run_process(argv, REPOSITORY, to.with_suffix(".log"))


def _first_days(size: Size, later: Path, arriving: Path) -> None:
    """The arriving month's files, cut after its first days."""
    _land(size.arriving, later)
    for feed in ("flights", "weather"):
        name = f"{feed}/{feed}-{size.arriving}.csv"
        header, *lines = (later / name).read_text().splitlines(keepends=True)
        day = header.split(",").index("day")
        kept = [line for line in lines if int(line.split(",")[day]) <= size.days]
        (arriving / feed).mkdir(parents=True)
        (arriving / name).write_text("".join([header, *kept]))
