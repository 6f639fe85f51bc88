"""Records and promises in, one HTML file out: what a team reads after a run, offline, nothing fetched and no script.

Pure: no Spark, no disk, no clock. It never recomputes what a record says, and
a record that says less (no truth yet, no champion) gives a page that says so.
How it looks is report.html.j2; here stands only what has to be worked out:
which attempt of a stage is its present state, the graph's layout, the plots.
To show one more thing, put it into a record's `detail` and a line in the template.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from math import isfinite, isnan, nan

from jinja2 import ChainableUndefined, Environment, Template

from pipelines.aliases import challenger, moves
from pipelines.card import card
from pipelines.layout import HIGH, WIDE, Needs, layout
from pipelines.lineage import graph
from pipelines.monitor.history import courses, drifted, newest_windows
from pipelines.plan import stages
from pipelines.plots import (
    NORMS,
    PHASES,
    SAID,
    base_rate,
    calibration,
    curve,
    deciles,
    gradients,
    histogram,
    losses,
    performance,
    phases,
    swarm,
)
from pipelines.spec import METRICS, RATES, TASKS, Pipeline
from pipelines.state import WAITS, Json, Record
from pipelines.told import Quality, of_last_refresh

FATES = ("applied", "superseded", "deleted", "quarantined", "dropped")  # of a row that came in; they add up to rows_in
KINDS = ("sources", "tables", "features", "models", "scores", "monitors")
WORDS = {"ok": "published", "refused": "refused", "failed": "failed", "none": "not run", "raised": "wants a look"}
MOST_REFRESHES = 60  # of a trend, the newest


@dataclass(frozen=True)
class Past:
    """All attempts of one stage, oldest first; possibly none."""

    kind: str
    name: str
    records: tuple[Record, ...]
    whole: bool  # each refresh reads everything again, so that only the newest counts

    @property
    def last(self) -> Record | None:
        """The newest attempt, good or not."""
        return self.records[-1] if self.records else None

    @property
    def good(self) -> Record | None:
        """The newest attempt that published; a model's gates have all passed."""
        return next((r for r in reversed(self.records) if _published(r)), None)

    @property
    def state(self) -> str:
        """A key of WORDS."""
        if not self.last:
            return "none"
        return "refused" if self.last.status == "ok" and not _published(self.last) else self.last.status

    @property
    def standing(self) -> tuple[Record, ...]:
        """The attempts that its present version is made of: since the last full refresh."""
        if not self.good:
            return ()
        good = [r for r in self.records if _published(r) and r.generation == self.good.generation]
        return tuple(good[-1:] if self.whole else good)

    def total(self, count: str) -> int:
        """The sum of one count over `standing`."""
        return sum(r.counts.get(count, 0) for r in self.standing)

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Rows refused for each reason over `standing`, the most first; a row may have several reasons."""
        tallies = [Counter[str](record.detail.get("reasons") or {}) for record in self.standing]
        return sum(tallies, Counter[str]()).most_common()

    @property
    def lost(self) -> int:
        """Rows in that no fate accounts for; 0 where rows are conserved."""
        return self.total("rows_in") - sum(self.total(fate) for fate in FATES)


@dataclass(frozen=True)
class Run:
    """One command: its stages in the order in which they ran."""

    id: str
    records: tuple[Record, ...]

    @property
    def began(self) -> datetime:
        """When its first stage began."""
        return min(r.started_at for r in self.records)

    @property
    def seconds(self) -> float:
        """From its first stage's beginning to its last one's end."""
        return max(self.offset(r) + r.seconds for r in self.records)

    def offset(self, record: Record) -> float:
        """Seconds from the run's beginning to the record's."""
        return (record.started_at - self.began).total_seconds()

    def count(self, name: str) -> int:
        """The sum of one count over its tables."""
        return sum(r.counts.get(name, 0) for r in self.records if r.stage.startswith("tables."))


@dataclass(frozen=True)
class Course:
    """What is drawn as a line of dots: (x, y, whether it is broken, what it says) of each, in the unit square."""

    label: str
    dots: list[tuple[float, float, bool, str]]


@dataclass(frozen=True)
class Trend:
    """One promise of a table over its refreshes, oldest first."""

    table: str
    label: str
    on_fail: str
    found: tuple[Quality, ...]

    @property
    def most(self) -> float:
        """The greatest percent of unexpected rows; 0 where no rows are counted."""
        return max(q.unexpected_percent or 0 for q in self.found)

    @property
    def dots(self) -> list[tuple[float, float, bool, str]]:
        """(x, y, whether a promise to warn or fail is broken, what it says) of each refresh, in the unit square."""
        return [
            (i / max(len(self.found) - 1, 1), (q.unexpected_percent or 0) / (self.most or 1), self._broken(q), _says(q))
            for i, q in enumerate(self.found)
        ]

    def _broken(self, q: Quality) -> bool:
        return not q.success and self.on_fail in ("warn", "fail")


@dataclass(frozen=True)
class Node:
    """A box of the graph; x and y are its upper left corner in pixels."""

    kind: str
    name: str
    x: int
    y: int
    fact: str
    state: str


def report(
    pipeline: Pipeline, records: Sequence[Record], quality: Sequence[Quality] = (), costs: Sequence[Json] = ()
) -> str:
    """One self-contained HTML page about a pipeline, in light and dark.

    records: rows of `_runs`, any order; those of other pipelines are ignored.
    quality: rows of `_quality`, oldest first. costs: as `spending.spent` has them; none where nothing is priced.
    Returns: HTML that fetches nothing and runs nothing; every name and value in it is escaped.
    """
    mine = sorted((r for r in records if r.pipeline == pipeline.pipeline), key=lambda r: r.started_at)
    pasts = [_past(pipeline, s.kind, s.name, mine) for s in stages(pipeline)]
    drawn, by = layout(_needs(pipeline), KINDS), {f"{p.kind}.{p.name}": p for p in pasts}
    page = {
        "pipeline": pipeline,
        "pasts": {kind: [p for p in pasts if p.kind == kind] for kind in KINDS},
        "runs": _runs(mine),
        "graph": drawn,
        "nodes": [_node(pipeline, node, at, by) for node, at in drawn.corners.items()],
        "verdicts": [_verdict(p, _scored(pipeline, p, pasts)) for p in pasts if p.kind == "models"],
        "trends": _trends(pipeline, quality),
        "aliases": {p.name: _aliases(p) for p in pasts if p.kind == "models"},
        "origins": _origins(pipeline),
        "costs": [{**line, "course": _course(line)} for line in costs if line["runs"]],
        "troubles": [p for p in pasts if p.state in ("refused", "failed")],
    }
    return _template().render(page)


def _past(pipeline: Pipeline, kind: str, name: str, records: Iterable[Record]) -> Past:
    whole = kind == "models" or (kind == "tables" and pipeline.tables[name].source is None)
    return Past(kind, name, tuple(r for r in records if r.stage == f"{kind}.{name}"), whole)


def _published(record: Record) -> bool:
    """A person may promote what a gate refused."""
    passed = all(gate["passed"] for gate in record.detail.get("gates") or ())
    return record.status == "ok" and (passed or "moved" in record.detail)


def _runs(records: Iterable[Record]) -> list[Run]:
    """Newest first."""
    of: dict[str, list[Record]] = {}
    for record in records:
        of.setdefault(record.run_id, []).append(record)
    return sorted((Run(i, tuple(rs)) for i, rs in of.items()), key=lambda run: run.began, reverse=True)


def _scored(pipeline: Pipeline, model: Past, pasts: Iterable[Past]) -> int:
    """How many scores of a model are published."""
    return _total((p for p in pasts if p.kind == "scores" and pipeline.scores[p.name].model == model.name), "scored")


def _trends(pipeline: Pipeline, quality: Sequence[Quality]) -> list[Trend]:
    """Of the promises that each table made in its last refresh, in the order of the conf."""
    of: dict[str, dict[tuple[str, str], list[Quality]]] = {}
    for q in quality:
        of.setdefault(q.stage, {}).setdefault((q.label, q.on_fail), []).append(q)
    made = {(q.stage, q.label, q.on_fail) for q in of_last_refresh(quality)}
    return [
        Trend(name, label, on_fail, tuple(found[-MOST_REFRESHES:]))
        for name in pipeline.tables
        for (label, on_fail), found in of.get(f"tables.{name}", {}).items()
        if (f"tables.{name}", label, on_fail) in made
    ]


def _origins(pipeline: Pipeline) -> list[tuple[str, list[tuple[str, tuple[str, ...]]]]]:
    """Of each table and feature table what its columns are made of; of a model, what it learned from."""
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for node, made_of in graph(pipeline).columns.items():
        kind, _, rest = node.partition(".")
        stage, _, column = rest.partition(".")
        if kind in ("tables", "features", "models"):
            found.setdefault(f"{kind}.{stage}", []).append((column, made_of))
    return list(found.items())


def _course(line: Json) -> Course:
    """What the last runs of a stage cost, oldest first."""
    usd = [run["usd"] for run in line["trend"]]
    most = max(usd) or 1
    at = [i / max(len(usd) - 1, 1) for i in range(len(usd))]
    says = [f"{_when(run['at'])}: {run['usd']:.6f} USD" for run in line["trend"]]
    dots = [(x, float(y / most), False, word) for x, y, word in zip(at, usd, says, strict=True)]
    return Course(line["stage"], dots)


def _says(q: Quality) -> str:
    return f"{_when(q.at)}: {q.observed}"


def _verdict(model: Past, scored: int) -> str:
    """One sentence: who is champion, how good, against what, and what it gave."""
    if not model.good:
        return f"{model.name} has no champion yet."
    detail = model.good.detail
    test, baseline = detail.get("test") or {}, detail.get("baseline") or {}
    headline = TASKS[detail.get("task", "binary")].headlines(test)
    said = ", ".join(f"{METRICS[m].words} {_metric(test.get(m))}" for m in headline)
    said += f" against the naive baseline's {_metric(baseline.get(headline[-1]))}"
    return f"{model.name} v{model.good.model_version} is champion: {said}; {scored:,} scores published."


def _aliases(model: Past) -> list[tuple[str, int, str]]:
    """(alias, version, how it came to it), of those that point somewhere."""
    made, challenges = moves(model.records), challenger(model.records)
    found = [("champion", made[-1].version, f"{_when(made[-1].at)}, {made[-1]}")] if made else []
    waits = any(WAITS in r.detail and r.detail["version"] == challenges for r in model.records)
    why = "waits for a person" if waits else "refused by a gate"
    return found + ([("challenger", challenges, why)] if challenges is not None else [])


def _needs(pipeline: Pipeline) -> Needs:
    """Sources first, then stages in the order of the plan."""
    found: dict[str, tuple[str, ...]] = {f"sources.{name}": () for name in pipeline.sources}
    for stage in stages(pipeline):
        source = pipeline.tables[stage.name].source if stage.kind == "tables" else None
        arrives = (f"sources.{source}",) if source in pipeline.sources else ()
        found[stage.id] = (*arrives, *stage.needs)
    return {node: tuple(a for a in reads if a in found) for node, reads in found.items()}


def _node(pipeline: Pipeline, node: str, at: tuple[int, int], pasts: Mapping[str, Past]) -> Node:
    kind, _, name = node.partition(".")
    if kind == "sources":
        source = pipeline.sources[name]
        return Node(kind, name, *at, f"{getattr(source, 'format', '')} {source.kind}".strip(), "")
    past = pasts[node]
    if not past.good:
        return Node(kind, name, *at, WORDS[past.state], past.state)
    if kind == "monitors":
        verdict = past.good.detail["decision"]["verdict"]
        state = "raised" if past.state == "ok" and verdict != "wait" else past.state
        return Node(kind, name, *at, verdict, state)
    if kind == "models":
        return Node(kind, name, *at, f"v{past.good.model_version} champion", past.state)
    held = past.good.detail.get("rows", past.total("applied"))  # of the whole table, where the record says it
    rows = f"{past.total('scored'):,} scores" if kind == "scores" else f"{held:,} rows"
    version = "" if past.good.published_version is None else f" · v{past.good.published_version}"
    return Node(kind, name, *at, rows + version, past.state)


@cache
def _template() -> Template:
    """The page; everything that is not Markup is escaped, and what a record does not say is empty."""
    page = Environment(autoescape=True, undefined=ChainableUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {"count": _count, "metric": _metric, "share": _share, "seconds": _seconds, "when": _when}
    page.filters["percent"] = lambda value: "—" if value is None else _share(value, 100)
    page.filters["total"] = _total
    page.globals |= {"METRICS": METRICS, "TASKS": TASKS, "FATES": FATES, "WORDS": WORDS, "WIDE": WIDE, "HIGH": HIGH}
    page.globals |= {"curve": curve, "calibration": calibration, "histogram": histogram, "base_rate": base_rate}
    page.globals |= {
        "deciles": deciles,
        "courses": courses,
        "newest_windows": newest_windows,
        "drifted": drifted,
        "performance": performance,
        "card": card,
        "swarm": swarm,
        "losses": losses,
        "gradients": gradients,
        "phases": phases,
        "NORMS": NORMS,
        "PHASES": PHASES,
        "SAID": SAID,
        "RATES": RATES,
    }
    return page.from_string(files("pipelines").joinpath("report.html.j2").read_text("utf-8"))


def _total(pasts: Iterable[Past], count: str) -> int:
    return sum(past.total(count) for past in pasts)


def _count(value: Json) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else "—"


def _metric(value: Json) -> str:
    """Three decimals of a number, or of the first of [value, low, high]; fewer of what is large; a dash for none."""
    number = value[0] if isinstance(value, list | tuple) else value
    if not isinstance(number, int | float) or not isfinite(number):
        return "—"
    return f"{number:.3f}" if abs(number) < 1_000 else f"{number:,.0f}"


def _share(part: float, whole: float) -> str:
    share = 100 * part / whole if whole else nan
    return "< 0.1 %" if 0 < share < 0.1 else "—" if isnan(share) else f"{share:.1f} %"


def _seconds(value: float) -> str:
    if value < 99.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    return f"{value // 60:.0f} min {value % 60:.0f} s"


def _when(moment: datetime) -> str:
    return f"{moment:%-d %b %Y, %H:%M} UTC"
