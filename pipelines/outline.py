"""What of a conf its DAG is made of: tasks, needs, schedule, settings; as values that JSON can hold. Pure.

A scheduler reads dags/ every half minute, and reading YAML is most of it. So `lakeloom dag compile` writes the
outlines of a folder of confs into one file beside them; whose hash there is that of the conf as it lies is not read
again. Without that file, or where a conf has changed since, the conf is read.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import SpecError

if TYPE_CHECKING:
    from pipelines.plan import Stage
    from pipelines.spec import Pipeline, Target

COMPILED, FORMAT = "dags.json", 5  # beside the confs; the number rises when an outline's form changes
UPKEEP = "upkeep"
WAITING = "waiting"  # what a training hands on under Airflow: the version that a person is asked to promote
RETRAIN = "retrain"  # what a monitor's task hands on: the models that are to be trained again
SAID = "said"  # and what monitors decided that somebody should hear of
HANDED_ON = "lakeloom: "  # how jobs/batch.py ends; after it JSON: NOW and BEFORE, each WAITING, RETRAIN, SAID as lists
NOW, BEFORE = "now", "before"  # of stages that ran; of those that had nothing to do, by their last record
NOT_PROMOTED = "is not promoted"  # of a version that a gate refused, in the sentence of its stage
WHAT = {
    "tables": "Reads what is new into table `{}`, judges it and publishes it.",
    "features": "Brings feature table `{}` up to date, each value as it was known at its row's time.",
    "models": "Trains and judges model `{}`; the champion changes only through the gates.",
    "scores": "Scores the new rows of `{}` with the champion and publishes them.",
    "monitors": "Counts what `{}` watches, window by window, and says whether to retrain.",
}
KEPT = "Makes small files large and removes what no version in use needs; waits for nobody, and nobody for it."
TOGETHER: Mapping[str | bool, tuple[set[str], ...]] = {  # kinds whose stages `fuse` puts into one application
    False: (), True: ({"tables", "features"}, {"scores", "monitors"}), "all": (set(WHAT),),
}  # fmt: skip
PRESETS = "@once @continuous @hourly @daily @weekly @monthly @quarterly @yearly".split()


@dataclass(frozen=True)
class Task:
    """One spark-submit."""

    id: str  # a stage's, or its kinds': tables-features
    stages: tuple[str, ...]
    needs: tuple[str, ...]  # tasks, by id
    doc: str
    publishes: tuple[str, ...] = ()  # assets: flights.tables.flights
    intervals: bool = False  # has a table of which a backfill makes an interval anew
    asks: bool = False  # trains a model that a person has to promote
    asked_by: tuple[str, ...] = ()  # tasks of monitors: it trains only where one of them asks for it


@dataclass(frozen=True)
class Outline:
    """One DAG; `error` says why there is none, in the words of `check`."""

    name: str
    conf: str  # its file
    lines: Mapping[str, int] = field(default_factory=dict)  # of it, by key: schedule, airflow ...
    description: str = ""
    schedule: str | None = None
    after: tuple[str, ...] = ()
    upkeep_schedule: str | None = None
    start: str | None = None
    retries: int = 2
    retry_delay_s: int = 60
    timeout_s: int = 6 * 3600
    max_active_runs: int = 1
    email: tuple[str, ...] = ()
    deadline_s: int | None = None
    pool: str | None = None
    namespace: str | None = None  # before the names of its models
    tasks: tuple[Task, ...] = ()
    error: str = ""

    def at(self, key: str) -> str:
        """'file:line' of a key."""
        return f"{self.conf}:{self.lines.get(key, 1)}"


def outlines(folder: Path, target: str) -> tuple[Outline, ...]:
    """One for each conf of a folder, in the order of their names; as compiled where that is still so."""
    compiled = _compiled(folder, target)
    confs = sorted(folder.glob("*.yml"))
    return tuple(compiled.get((conf.name, _hash(conf, target))) or outline(conf, target) for conf in confs)


def outline(conf: Path, target: str) -> Outline:
    """Of one conf; what `check` refuses becomes its error."""
    from pipelines.check import check
    from pipelines.spec import load_lines

    blank = Outline(re.sub(r"[^A-Za-z0-9_.-]", "_", conf.stem), str(conf.resolve()))  # the letters that Airflow allows
    try:
        pipeline, lines = load_lines(conf)
        check(pipeline, lines)
    except SpecError as found:
        return replace(blank, error=str(found))
    keys = ("schedule", "upkeep_schedule", "airflow")
    blank = replace(blank, lines={key: int(lines.at([key]).rpartition(":")[2]) for key in keys})
    return _outlined(blank, pipeline, _place(conf, target))


def _outlined(blank: Outline, pipeline: "Pipeline", place: "Target | None") -> Outline:
    said = pipeline.airflow
    return replace(
        blank,
        description=pipeline.description,
        schedule=pipeline.schedule,
        after=said.after,
        upkeep_schedule=pipeline.upkeep_schedule,
        start=said.start,
        retries=said.retries,
        retry_delay_s=int(said.retry_delay.total_seconds()),
        timeout_s=int(said.timeout.total_seconds()),
        max_active_runs=said.max_active_runs,
        email=said.email,
        deadline_s=int(said.deadline.total_seconds()) if said.deadline else None,
        pool=place.submit.pool if place and place.submit else None,
        namespace=place.namespace if place else None,
        tasks=tuple(_tasks(pipeline)),
    )


def _place(conf: Path, target: str) -> "Target | None":
    """Of a target that cannot be read, its own tasks will say so."""
    from pipelines.spec import load_target

    try:
        return load_target(conf, target)
    except SpecError:
        return None


def _tasks(pipeline: "Pipeline") -> Iterator[Task]:
    from pipelines.plan import stages

    every = stages(pipeline)
    owner = {stage.id: _owner(stage, every, pipeline.airflow.fuse) for stage in every}
    for task in dict.fromkeys(owner.values()):
        mine = [stage for stage in every if owner[stage.id] == task]
        needs = dict.fromkeys(owner[need] for stage in mine for need in stage.needs)
        yield Task(
            id=task,
            stages=tuple(stage.id for stage in mine),
            needs=tuple(need for need in needs if need != task),
            doc="\n\n".join(WHAT[stage.kind].format(stage.name) for stage in mine),
            publishes=tuple(f"{pipeline.pipeline}.{s.id}" for s in mine if s.kind != "monitors"),
            asks=any(s.kind == "models" and pipeline.models[s.name].promotion == "by_hand" for s in mine),
            intervals=any(s.kind == "tables" and pipeline.tables[s.name].intervals for s in mine),
        )
    yield from _retrainings(pipeline, owner)


def _retrainings(pipeline: "Pipeline", owner: Mapping[str, str]) -> Iterator[Task]:
    """After the monitors that may ask for a training: it is done in the same run of the DAG, not with the next."""
    asking: dict[str, list[str]] = {}
    for name, monitor in pipeline.monitors.items():
        if monitor.retrain:
            asking.setdefault(pipeline.scores[monitor.scores].model, []).append(owner[f"monitors.{name}"])
    for model, tasks in asking.items():
        stage, needs = f"models.{model}", tuple(dict.fromkeys(tasks))
        asks = pipeline.models[model].promotion == "by_hand"
        doc = f"{WHAT['models'].format(model)} Only where a monitor asks for it."
        publishes = (f"{pipeline.pipeline}.{stage}",)
        yield Task(f"{stage}_retraining", (stage,), needs, doc, publishes, asks=asks, asked_by=needs)


def _owner(stage: "Stage", every: Iterable["Stage"], fuse: str | bool) -> str:
    """The task that a stage belongs to: its own, or that of the kinds that go together."""
    together = next((kinds for kinds in TOGETHER[fuse] if stage.kind in kinds), None)
    if together is None:
        return stage.id
    return "-".join(dict.fromkeys(s.kind for s in every if s.kind in together))


def compiled_text(folder: Path, target: str) -> str:
    """The text of the compiled file: every conf's outline, with the hash of what it was made of."""
    found = {o.conf: o for o in (outline(conf, target) for conf in sorted(folder.glob("*.yml")))}
    hashes = {conf: _hash(Path(conf), target) for conf in found}
    dags = [{"hash": hashes[conf], **asdict(made), "conf": Path(conf).name} for conf, made in found.items()]
    return json.dumps({"format": FORMAT, "target": target, "dags": dags}, indent=1) + "\n"


def _compiled(folder: Path, target: str) -> dict[tuple[str, str], Outline]:
    """(file, hash) -> outline; nothing where there is no such file, or one of another release or target."""
    try:
        whole = json.loads((folder / COMPILED).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    if (whole.get("format"), whole.get("target")) != (FORMAT, target):
        return {}
    return {(d["conf"], d.pop("hash")): _restored(d, folder) for d in whole["dags"]}


def _restored(found: Mapping[str, Any], folder: Path) -> Outline:
    tasks = tuple(_task(t) for t in found["tasks"])
    conf = str((folder / found["conf"]).resolve())
    several = {key: tuple(found[key]) for key in ("after", "email")}
    return Outline(**{**found, **several, "tasks": tasks, "conf": conf})


def _task(found: Mapping[str, Any]) -> Task:
    whole: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
    return Task(**whole)


def _hash(conf: Path, target: str) -> str:
    """Of all that an outline is made of: the conf, and its target, where that can be read."""
    place = conf.parent / "targets" / f"{target}.yml"
    return sha256(conf.read_bytes() + b"\0" + (place.read_bytes() if place.exists() else b"")).hexdigest()[:32]


def flaws(found: Iterable[Outline]) -> Iterator[str]:
    """What is wrong with DAGs taken together, a sentence each: names, schedules, what starts what."""
    found = tuple(found)
    named: dict[str, str] = {}
    published = {asset for o in found for t in o.tasks for asset in t.publishes}
    for each in found:
        for name in (each.name, *([f"{each.name}_{UPKEEP}"] if each.upkeep_schedule else [])):
            if name in named:
                yield f"{each.conf}: its DAG {name} has the name of that of {named[name]}; rename the file"
            named[name] = each.conf
        if each.error:
            yield each.error
        for key, text in (("schedule", each.schedule), ("upkeep_schedule", each.upkeep_schedule)):
            if text and not scheduled(text):
                yield f"{each.at(key)}: {key}: '{text}' is no cron expression and none of {', '.join(PRESETS)}"
        if each.start and not each.schedule:
            yield f"{each.at('airflow')}: airflow.start: there is no schedule whose intervals could be made"
        for asset in each.after:
            if asset not in published:
                yield f"{each.at('airflow')}: airflow.after: no conf here publishes {asset}"
    yield from _circles(found)


def _circles(found: Iterable[Outline]) -> Iterator[str]:
    """DAGs that start each other for ever."""
    made = {asset: o.name for o in found for t in o.tasks for asset in t.publishes}
    starts = {o.name: {made[a] for a in o.after if a in made} for o in found}
    for name in starts:
        seen, left = set[str](), set(starts[name])
        while left:
            at = left.pop()
            left |= starts[at] - seen
            seen.add(at)
        if name in seen:
            yield f"{name}: airflow.after: it starts itself, through {', '.join(sorted(seen))}"


_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES = {n: i for i, n in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)}
_NAMES |= {n: i for i, n in enumerate("sun mon tue wed thu fri sat".split())}


def scheduled(text: str) -> bool:
    """Whether Airflow can make a schedule of it: a preset, or five fields of cron (its sixth and seventh unused)."""
    if text in PRESETS:
        return True
    parts = text.split()
    return len(parts) == len(_FIELDS) and all(
        _in_field(part, low, high) for part, (low, high) in zip(parts, _FIELDS, strict=True)
    )


def _in_field(text: str, low: int, high: int) -> bool:
    for part in text.lower().split(","):
        match = re.fullmatch(r"(\*|(\w+)(?:-(\w+))?)(?:/([1-9][0-9]*))?", part)
        if not match:
            return False
        ends = [_NAMES.get(end, int(end) if end.isdigit() else -1) for end in match.group(2, 3) if end]
        if any(not low <= end <= high for end in ends) or ends != sorted(ends):
            return False
    return True
