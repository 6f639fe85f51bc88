"""Run records as Prometheus reads them: one gauge a line, for a textfile collector or whatever fetches a file.

Pure: records and promises in, text out; no clock, so that the same warehouse gives the same text. A figure that no
record has is left out, for a gauge that stands at 0 would be a claim.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pipelines.monitor.history import newest_windows
from pipelines.plan import stages
from pipelines.spec import Pipeline
from pipelines.state import Record
from pipelines.told import Quality, of_last_refresh

STATES = ("ok", "refused", "failed")
VERDICTS = ("wait", "unchecked", "investigate", "retrain")
HELP = {
    "stage_state": "1 for how the newest attempt of a stage ended",
    "stage_started_timestamp_seconds": "when the newest attempt began",
    "stage_published_timestamp_seconds": "when the newest attempt that published began",
    "stage_duration_seconds": "of the newest attempt",
    "stage_rows": "of the newest attempt, by what became of them",
    "stage_cost_usd": "of the newest attempt that was metered, by the target's prices",
    "stage_cost_sum_usd": "of all attempts that were metered",
    "stage_cost_next_usd": "what the next attempt is likely to cost",
    "stage_cost_thousand_usd": "of 1,000 scores",
    "stage_idle_ratio": "share of the cores' time in which no task ran",
    "stage_stored_bytes": "of the newest versions of the stage's tables",
    "stage_storage_usd_month": "of those bytes",
    "budget_usd": "what a run may be likely to cost, or it does not begin",
    "promise_kept": "1 where the newest refresh kept a promise, 0 where it broke it",
    "monitor_verdict": "1 for what a monitor decided",
    "monitor_drift": "how far a feature of the newest window is from its reference, in limits",
    "monitor_performance": "of the newest window that has one: true by labels, estimated without",
}
COSTS = {  # gauge -> what of a line of `spending.spent`
    "stage_cost_usd": "last_usd", "stage_cost_sum_usd": "usd", "stage_cost_next_usd": "next_usd",
    "stage_cost_thousand_usd": "usd_a_thousand", "stage_idle_ratio": "idle", "stage_stored_bytes": "stored_bytes",
    "stage_storage_usd_month": "usd_month",
}  # fmt: skip
Sample = tuple[str, Mapping[str, str], float]  # gauge, labels, value
Json = Any


def prometheus(
    pipeline: Pipeline,
    records: Sequence[Record],
    quality: Sequence[Quality],
    costs: Sequence[Json] = (),
    budget_usd: Decimal | None = None,
) -> str:
    """The text of the exposition format 0.0.4; gauges in the order of HELP, each with all its samples.

    costs: as `spending.spent` has them; none where nothing is priced.
    """
    found = [*_stages(pipeline, records), *_costs(costs, budget_usd), *_promises(quality)]
    found += _monitors(pipeline, records)
    lines = []
    for name, said in HELP.items():
        mine = [_line(pipeline.pipeline, sample) for sample in found if sample[0] == name]
        lines += [f"# HELP lakeloom_{name} {said}", f"# TYPE lakeloom_{name} gauge", *mine] if mine else []
    return "".join(f"{line}\n" for line in lines)


def _stages(pipeline: Pipeline, records: Sequence[Record]) -> Iterator[Sample]:
    for stage in stages(pipeline):
        mine, of = [r for r in records if r.stage == stage.id], {"stage": stage.id}
        if not mine:
            continue
        last, good = mine[-1], [r for r in mine if r.published_version is not None]
        yield from (("stage_state", {**of, "state": s}, float(s == last.status)) for s in STATES)
        yield "stage_started_timestamp_seconds", of, last.started_at.timestamp()
        yield from (("stage_published_timestamp_seconds", of, r.started_at.timestamp()) for r in good[-1:])
        yield "stage_duration_seconds", of, last.seconds
        yield from (("stage_rows", {**of, "count": name}, float(n)) for name, n in last.counts.items())


def _costs(costs: Sequence[Json], budget_usd: Decimal | None) -> Iterator[Sample]:
    for line in costs:
        if line["runs"]:
            told = ((gauge, line[key]) for gauge, key in COSTS.items())
            yield from ((gauge, {"stage": line["stage"]}, float(value)) for gauge, value in told if value is not None)
    if budget_usd is not None:
        yield "budget_usd", {}, float(budget_usd)


def _promises(quality: Iterable[Quality]) -> Iterator[Sample]:
    newest = {(q.stage, q.label): q.success for q in of_last_refresh(quality)}
    for (stage, label), kept in newest.items():
        yield "promise_kept", {"stage": stage, "promise": label}, float(kept)


def _monitors(pipeline: Pipeline, records: Sequence[Record]) -> Iterator[Sample]:
    for name in pipeline.monitors:
        mine = [r for r in records if r.stage == f"monitors.{name}" and r.status == "ok"]
        windows, of = newest_windows(mine), {"monitor": name}
        if mine:
            decided = mine[-1].detail["decision"]["verdict"]
            yield from (("monitor_verdict", {**of, "verdict": v}, float(v == decided)) for v in VERDICTS)
        for f in windows[-1]["features"] if windows else ():
            yield "monitor_drift", {**of, "feature": f["feature"]}, f["distance"] / f["most"]
        for kind in ("true", "estimated"):
            known = [p for w in windows if (p := w["performance"])[kind] is not None]
            for p in known[-1:]:
                value = p["true"][0] if kind == "true" else p["estimated"]
                yield "monitor_performance", {**of, "metric": p["metric"], "by": kind}, value


def _line(pipeline: str, sample: Sample) -> str:
    name, labels, value = sample
    told = ",".join(f'{k}="{_escaped(v)}"' for k, v in {"pipeline": pipeline, **labels}.items())
    return f"lakeloom_{name}{{{told}}} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
