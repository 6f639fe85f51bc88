"""Spec and state in, ordered stages out: what each needs, why it would run, what it would read. Pure.

A stage is named by its place in the conf: 'tables.flights', 'models.late_arrival'.
`stages` needs the conf alone (Airflow asks it); `verdicts` also needs what was
seen of the warehouse and the landing folder.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from pipelines.columns import relations
from pipelines.spec import Pipeline, Spec, Table

Kind = Literal["tables", "features", "models", "scores", "monitors"]


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline; one Airflow task, one spark-submit, one row of `_runs` an attempt."""

    kind: Kind
    name: str
    needs: tuple[str, ...] = ()  # stages, by id, that must have run before

    @property
    def id(self) -> str:
        """'tables.flights'."""
        return f"{self.kind}.{self.name}"


@dataclass(frozen=True)
class Waiting:
    """What a stage would find if it ran now, and what its last finished attempt was."""

    news: str = ""  # what its inputs have that it has not read, in words; empty: nothing
    definition: str = ""
    last_definition: str | None = None  # None: it never finished
    unfinished: bool = False  # an attempt began and left no record
    refused: str = ""  # why its last attempt was not published
    stale: str = ""  # how old the newest row is, if it is older than was promised
    changed: tuple[str, ...] = ()  # keys by which its definition differs from the last one, where that is known
    redefined: str = ""  # a stage that it reads, and that the conf says otherwise than when it ran last
    lent: str = ""  # the version of another target that stands for its own, in words


@dataclass(frozen=True)
class Verdict:
    """Whether a stage would run, and the reason in words."""

    stage: Stage
    run: bool
    why: str
    stale: str = ""  # how old the newest row is, where that is older than was promised and nothing is new


def verdict(stage: Stage, waiting: Waiting, running: frozenset[str] = frozenset()) -> Verdict:
    """Decide one stage. running: ids of stages that run before it, so that it may find more than it sees now."""
    if waiting.lent:
        return Verdict(stage, False, waiting.lent)
    if waiting.unfinished:
        return Verdict(stage, True, "an attempt was cut off; its batch is replayed")
    if waiting.last_definition is None:
        upstream = [n for n in stage.needs if n in running]
        return Verdict(stage, bool(waiting.news or upstream or stage.kind == "models"), waiting.news or "never ran")
    if waiting.definition != waiting.last_definition and stage.kind != "scores":
        return Verdict(stage, True, ": ".join(["its definition changed", *filter(None, [", ".join(waiting.changed)])]))
    if waiting.news:
        return Verdict(stage, True, waiting.news)
    if waiting.redefined in running:
        return Verdict(stage, True, f"{waiting.redefined} is redefined before it")
    if waiting.refused and stage.kind == "tables":
        return Verdict(stage, True, f"judges again: {waiting.refused}")
    upstream = [n for n in stage.needs if n in running and not n.startswith("models.")]
    if upstream and stage.kind != "models":
        return Verdict(stage, True, f"after {', '.join(upstream)}")
    if waiting.refused:
        return Verdict(stage, False, f"refused before: {waiting.refused}")
    why = f"nothing new; stale: {waiting.stale}" if waiting.stale else "nothing new"
    return Verdict(stage, False, why, waiting.stale)


def stages(pipeline: Pipeline) -> tuple[Stage, ...]:
    """All stages in an order in which each stands after what it needs.

    Errors: SpecError (from columns.relations) where a select cannot be parsed; a cycle is refused by `check`
    and ends here in the order of the conf.
    """
    found = [*_tables(pipeline), *_features(pipeline), *_models(pipeline), *_scores(pipeline), *_monitors(pipeline)]
    return _sorted(found)


def _tables(pipeline: Pipeline) -> list[Stage]:
    def needs(name: str) -> tuple[str, ...]:
        read = relations(pipeline.tables[name].select)
        return tuple(f"tables.{r}" for r in read if r in pipeline.tables and r != name)

    return [Stage("tables", name, needs(name)) for name in pipeline.tables]


def _features(pipeline: Pipeline) -> list[Stage]:
    return [Stage("features", n, tuple(f"tables.{t}" for t in f.tables())) for n, f in pipeline.features.items()]


def _models(pipeline: Pipeline) -> list[Stage]:
    return [Stage("models", n, (f"features.{m.features}",)) for n, m in pipeline.models.items()]


def _scores(pipeline: Pipeline) -> list[Stage]:
    return [Stage("scores", n, (f"features.{s.of}", f"models.{s.model}")) for n, s in pipeline.scores.items()]


def _monitors(pipeline: Pipeline) -> list[Stage]:
    return [Stage("monitors", n, (f"scores.{m.scores}",)) for n, m in pipeline.monitors.items()]


def _sorted(found: list[Stage]) -> tuple[Stage, ...]:
    """Topological, otherwise in the order of the conf."""
    done: list[Stage] = []
    left = list(found)
    while left:
        ready = next((s for s in left if all(n in {d.id for d in done} for n in s.needs)), left[0])
        done.append(ready)
        left.remove(ready)
    return tuple(done)


def following(pipeline: Pipeline, stage: str) -> tuple[str, ...]:
    """What follows a stage by itself: views, feature tables, scores, monitors; no model, and no table of a source."""
    made, found = {stage}, []
    for each in stages(pipeline):
        kept = each.kind == "models" or (each.kind == "tables" and pipeline.tables[each.name].source)
        if made & set(each.needs) and not kept:
            made.add(each.id)
            found.append(each.id)
    return tuple(found)


def effort(pipeline: Pipeline, stage: Stage) -> str:
    """What the search of a model's training costs at most, in words; empty where nothing is searched."""
    model = pipeline.models[stage.name] if stage.kind == "models" else None
    if model is None or not model.searched:
        return ""
    (share, trials), *higher = model.search.rungs(model.trials)
    first = f"at most {trials} trials of {len(model.candidates)} candidate{'s' * (len(model.candidates) > 1)}"
    first += f" on {share:.0%} of the rows" if higher else ""
    again = [f"{n} again on {s:.0%}" for s, n in higher]
    budgets = ((model.search.budget_minutes, "minutes"), (model.search.budget_usd, "USD"))
    return ", ".join([first, *again, *(f"{budget:g} {unit}" for budget, unit in budgets if budget)])


def definition(pipeline: Pipeline, stage: Stage) -> str:
    """A short hash of the part of the conf that decides what the stage makes.

    Of a table it has three parts: what its rows are, which of them are refused, what is promised of the whole.
    """
    spec: Spec = getattr(pipeline, stage.kind)[stage.name]
    if not isinstance(spec, Table):
        return _hash(_text(spec))
    source = pipeline.sources.get(spec.source or "")
    rows = _text(spec, {"expect", "freshness", "volume", "validated"}) + (_text(source, source.pace) if source else "")
    rules, promises = ("".join(_text(e) for e in spec.expect if e.fused is fused) for fused in (True, False))
    over_time = "".join(f"{type(p).__name__}{_text(p)}" for p in (spec.freshness, spec.volume) if p)
    return ".".join(_hash(part) for part in (rows, rules, promises + over_time + "validate" * spec.validated))


def keyed(spec: Spec) -> dict[str, str]:
    """A short hash of each key that a conf says, so that a plan can name what changed."""
    said = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {key: _hash(json.dumps(value)) for key, value in said.items()}


def same_rows(one: str, other: str, refused: bool = True) -> bool:
    """True where two definitions of a table make the same rows; refused: and refuse the same ones."""
    return one.split(".")[: 1 + refused] == other.split(".")[: 1 + refused]


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]


def _text(spec: Spec, but: Collection[str] = ()) -> str:
    """What the conf says; a default is left out, so that a new key in a new release changes no definition."""
    return spec.model_dump_json(by_alias=True, exclude_defaults=True, exclude=set(but))
