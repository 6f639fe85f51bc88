"""What a run did and what lies in the warehouse, in words and figures for a terminal. Pure text."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from pipelines.aliases import moves
from pipelines.monitor.history import drifted
from pipelines.run.pipeline import Outcome
from pipelines.spec import METRICS, TASKS, Pipeline, Target
from pipelines.spec.monitor import ERRORS
from pipelines.state import FILES, WAITS, Record

REFRESHES, PROMISE = 5, 52  # shown beside each other; letters of a promise
FILES_SHOWN = 20
WHERE = ("chosen", "half")  # of the thresholds whose costs are said
FATES = ("applied", "superseded", "quarantined", "dropped")


def summary(pipeline: Pipeline, target: Target, conf: str, outcomes: Sequence[Outcome]) -> str:
    """The closing text of `lakeloom run`: tables, model, scores, where the data lies, what to type next."""
    done = [o.record for o in outcomes if o.record]
    if not any(o.record or o.error for o in outcomes):
        return f"{pipeline.pipeline}: nothing to do; every stage has read all there is"
    parts = [
        f"{pipeline.pipeline}: {len(done)} of {len(outcomes)} stages ran in {sum(r.seconds for r in done):.0f} s",
        _tables([r for r in done if r.stage.startswith("tables.")]),
        *[_model(r) for r in done if r.stage.startswith("models.")],
        _scores([r for r in done if r.stage.startswith("scores.")]),
        *[_monitor(r) for r in done if r.stage.startswith("monitors.")],
        *[f"refused   {o.error}" for o in outcomes if o.error],
        f"data      {target.warehouse}/{pipeline.pipeline}",
        f"next      lakeloom show {conf}   |   lakeloom report {conf}",
    ]
    return "\n\n".join(p for p in parts if p)


def _tables(records: Sequence[Record]) -> str:
    if not records:
        return ""
    fates = (*FATES, "deleted") if any(r.counts.get("deleted") for r in records) else FATES
    head = f"{'table':<14}{'rows in':>12}" + "".join(f"{f:>13}" for f in fates)
    lines = [head]
    for r in records:
        lines.append(f"{_name(r):<14}{r.counts['rows_in']:>12,}" + "".join(f"{r.counts.get(f, 0):>13,}" for f in fates))
        if r.counts.get("quarantined", 0) < 0:
            lines.append(f"{'':<14}{-r.counts['quarantined']:>12,} left the quarantine")
        if "lost_rows" in r.counts:
            files = f", with {counted(r.counts['lost_files'], 'file')} gone" if "lost_files" in r.counts else ""
            lines.append(f"{'':<14}{r.counts['lost_rows']:>12,} lost as allowed{files}")
        lines += [f"{'':<14}{rows:>12,} refused: {reason}" for reason, rows in r.detail.get("reasons", {}).items()]
        lines += [
            f"{'':<14}{e['on_fail']:>12}  {e['label']}: {e['observed']}"
            for e in r.detail["expectations"]
            if not e["success"]
        ]
    return "\n".join(lines)


def _model(record: Record) -> str:
    d = record.detail
    lines = [
        f"model {_name(record)}: {d['winner']} is version {d['version']} of {d['registered']}, {_alias(d)}",
        f"  {_sides(d)}",
        f"  {'':<20}{'model':>8}  {'95% interval':<18}{'baseline':>8}",
    ]
    for name in (m for m in TASKS[d["task"]].shown if m in d["test"]):
        value, low, high = map(_figure, d["test"][name])
        lines.append(f"  {name:<20}{value:>8}  {f'{low} to {high}':<18}{_figure(d['baseline'].get(name)):>8}")
    lines += [f"  {line}" for line in (*_decides(d), *_past(d), *_trained(d))]
    lines += [f"  {n} tells the label by itself: {why}; is it known in time?" for n, why in d["disguised"].items()]
    lines += [f"  {move}" for move in moves([record]) if move.who]
    lines += [f"  gate {'passed' if g['passed'] else 'CLOSED'}: {g['gate']}: {g['why']}" for g in d["gates"]]
    return "\n".join(lines)


def _alias(detail: Mapping[str, Any]) -> str:
    return f"challenger; it waits for `lakeloom model promote CONF {detail[WAITS]}`" if WAITS in detail else "champion"


def _sides(detail: Mapping[str, Any]) -> str:
    train, test = detail["splits"]["train"], detail["splits"]["test"]
    split = detail.get("split", {"by": "time"})
    if split["by"] == "time":
        newer = f"judged on {test['rows']:,} rows from {test['from']} to {test['to']}"
        return f"trained on {train['rows']:,} rows to {train['to']}, {newer}"
    of = f" of {split['column']}" if "column" in split else ""
    return f"trained on {train['rows']:,} rows, judged on {test['rows']:,} others; split: {split['by']}{of}"


def _decides(detail: Mapping[str, Any]) -> list[str]:
    """What its threshold costs, where the conf says what a wrong decision does."""
    found = (detail.get("decision") or {}).get("per_row")
    if not found:
        return []
    chosen, half = (f"{_figure(v)} ({_figure(low)} to {_figure(high)})" for v, low, high in map(found.get, WHERE))
    return [f"yes from a score of {detail['decision']['threshold']:.4f} on: costs {chosen} a row, {half} from 0.5 on"]


def _past(detail: Mapping[str, Any]) -> list[str]:
    """A backtest, in a line: the first metric of the task, from the worst fold to the best."""
    folds = [fold for fold in detail.get("backtest", []) if "test" in fold]
    metric = TASKS[detail["task"]].headline[0]
    found = [fold["test"][metric][0] for fold in folds if metric in fold["test"]]
    if not found:
        return []
    said = f"{len(folds)} of {len(detail['backtest'])} folds"
    return [f"backtest: {metric} {_figure(min(found))} to {_figure(max(found))} over {said}"]


def _trained(detail: Mapping[str, Any]) -> list[str]:
    """How a net was trained, in a line, and what ailed it."""
    told = detail.get("training")
    if not told:
        return []
    last, many = told["epochs"][-1], "es" if told["ranks"] > 1 else ""
    held = "" if last["held_loss"] is None else f", {last['held_loss']:.4f} on rows that do not train"
    first = f"trained {len(told['epochs'])} epochs by {told['ranks']} process{many}: loss {last['loss']:.4f}{held}"
    stopped = [f"stopped: {told['stopped']}"] if told["stopped"] else []
    pieces = max(last.get("pieces") or [1])
    cut = [f"a step did not fit into memory, and was cut into {pieces} pieces"] if pieces > 1 else []
    return [first, *stopped, *cut, *(f"{found['rule']}: {found['why']}" for found in told["ailments"])]


def _scores(records: Sequence[Record]) -> str:
    return "\n".join(_score(r) for r in records)


def _score(record: Record) -> str:
    d = record.detail
    text = f"scores {_name(record)}: {record.counts['scored']:,} rows by version {d['model_version']}"
    text += "".join(f"; {rows:,} {noun}" for noun, rows in (d.get("said") or {}).items())
    if d.get("truth"):
        t = d["truth"]
        text += f"; against what happened ({t['rows']:,} known): "
        text += ", ".join(f"{METRICS[m].words} {_figure(t.get(m))}" for m in TASKS[d["task"]].headlines(t))
    return text


def _monitor(record: Record) -> str:
    """What is decided, and the newest windows that the run touched."""
    d = record.detail["decision"]
    asks = ": the next run trains" if d["asks"] else "; `retrain:` in the conf would let the next run train"
    head = f"monitor {_name(record)}: {d['verdict']}{asks if d['verdict'] == 'retrain' else ''}"
    return "\n".join([head, *[f"  {reason}" for reason in d["reasons"]]])


def _figure(value: float | None) -> str:
    """Four decimals; fewer of what is large."""
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 1_000 else f"{value:,.1f}"


def _name(record: Record) -> str:
    return record.stage.split(".")[1]


def overview_text(lines: Sequence[Mapping[str, Any]]) -> str:
    """All stages, a line each."""
    head = f"{'stage':<28}{'status':<11}{'version':>8}{'rows':>12}  at"
    return "\n".join([head, *[_stage_line(x) for x in lines]])


def _stage_line(x: Mapping[str, Any]) -> str:
    version = "" if x["version"] is None else str(x["version"])
    rows = "" if x["rows"] is None else f"{x['rows']:,}"
    line = f"{x['stage']:<28}{x['status']:<11}{version:>8}{rows:>12}  {x['at'] or ''} {x['error']}".rstrip()
    return "\n".join([line, *_stopping(x.get(FILES, {}))])


def _stopping(files: Mapping[str, str]) -> list[str]:
    """The files that stop a table, where its sentence names the first alone."""
    if len(files) < 2:
        return []
    more = [f"  and {len(files) - FILES_SHOWN:,} more: --format json"] if len(files) > FILES_SHOWN else []
    return [*(f"  {path}: {why}" for path, why in islice(files.items(), FILES_SHOWN)), *more]


def interval_text(found: Mapping[str, Any]) -> str:
    """What a backfill would do."""
    held = f", {counted(found['files'], 'file')} with {counted(found['records'], 'record')}" if "files" in found else ""
    lines = [
        f"reads     what was taken of {found['source']} and is still there{held}",
        f"replaces  {found['rows']:,} of {found['of']:,} rows of {found['stage']}, by {found['event_time']}",
        f"then      {', '.join(found['then']) or 'nothing follows it'}",
    ]
    return "\n".join(lines)


def quality_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Each promise of a table over its newest refreshes, the newest to the right."""
    if not rows:
        return "no promise: the table has no `expect`, `freshness` or `volume`"
    at = {(r["generation"], r["batch"]): r["at"] for r in rows}
    shown = list(at)[-REFRESHES:]
    promises = {(r["label"], r["on_fail"]): r for r in rows if (r["generation"], r["batch"]) in shown}
    cells = {(r["label"], r["on_fail"], r["generation"], r["batch"]): _kept(r) for r in rows}
    head = f"{'promise':<{PROMISE}}{'on fail':<11}" + "".join(f"{at[b]:%d %b %H:%M}".rjust(14) for b in shown)
    lines = [
        f"{shortened(label, PROMISE - 2):<{PROMISE}}{on_fail:<11}"
        + "".join(cells.get((label, on_fail, *batch), "").rjust(14) for batch in shown)
        for label, on_fail in promises
    ]
    count = counted(len(at), "refresh")
    last = [r for r in promises.values() if (r["generation"], r["batch"]) == shown[-1]]
    broken = [f"  {r['label']}: {r['observed']}" for r in last if not r["success"]]
    said = ["not kept in the last refresh", *broken] if broken else []
    return "\n".join([f"{rows[0]['stage']}: {counted(len(promises), 'promise')} over {count}", head, *lines, *said])


def counted(number: int, noun: str) -> str:
    """'1 row', '2,000 rows'."""
    plural = "" if number == 1 else "es" if noun.endswith("sh") else "s"
    return f"{number:,} {noun}{plural}"


def _kept(row: Mapping[str, Any]) -> str:
    """'ok', or how much of it was not: the share of rows, if rows are counted."""
    if row["success"] and not row["unexpected_count"]:
        return "ok"
    share = row["unexpected_percent"]
    return ("ok " if row["success"] else "") + (percent(share) if share is not None else "broken")


def percent(share: float) -> str:
    """'2.7 %'; a little is not nothing."""
    return "< 0.1 %" if 0 < share < 0.1 else f"{share:.1f} %"


def shortened(text: str, letters: int) -> str:
    """Its beginning and its end, where it is too long: what differs stands at the end."""
    end = letters // 2
    return text if len(text) <= letters else f"{text[: letters - end - 3]}...{text[-end:]}"


def table_text(t: Mapping[str, Any]) -> str:
    """One table: versions, columns, first rows, quarantine."""
    versions = [f"  {v['version']:>5}  {v['operation']:<10}{v['rows'] or '':>10}" for v in t["versions"]]
    columns = [f"  {name:<28}{kind}" for name, kind in t["columns"].items()]
    q = t["quarantine"]
    refused = [f"  {'; '.join(r['_reasons'])}\n    {r['_record']}" for r in q["first_rows"]]
    return "\n".join([
        f"{t['stage']}: {counted(t['rows'], 'row')}, version {t['published_version']} published",
        f"path  {t['path']}",
        "published by run (newest first)", *[_publication(p) for p in t["publications"]],
        "versions (newest first)", *versions,
        "columns", *columns,
        f"first {counted(len(t['first_rows']), 'row')}", *[f"  {_row(r)}" for r in t["first_rows"]],
        f"quarantine: {counted(q['rows'], 'row')}" + (f" in {q['path']}" if q["path"] else ""), *refused,
    ])  # fmt: skip


def _publication(p: Mapping[str, Any]) -> str:
    rows = "" if p["rows"] is None else f"{p['rows']:,}"
    return f"  {p['run']:<24}{p['version']:>5}{rows:>12}  {p['why']}"


def monitor_text(found: Sequence[Mapping[str, Any]]) -> str:
    """Each monitor: its windows, and what follows from them."""
    return "\n\n".join(_watched(m) for m in found) or "no monitor: the conf has no `monitors`"


def _watched(m: Mapping[str, Any]) -> str:
    if not m["windows"]:
        return f"{m['monitor']}: nothing was counted yet; `lakeloom run` does it"
    metric = m["windows"][-1]["performance"]["metric"]
    counts, figures = (
        f"{'model':>6}{'rows':>10}{'labelled':>10}",
        f"{metric:<24}{'estimated':>9}{'off':>9}{'drifted':>9}",
    )
    head = f"{'window':<20}{counts}  {figures}  verdict"
    d = m["decision"]
    why = [*d["reasons"][1:], *d.get("causes", ())]
    last = [f"{d['verdict']}: {d['reasons'][0]}", *[f"  {reason}" for reason in why]]
    return "\n".join([f"{m['monitor']}: {m['scores']}", head, *[_window(w) for w in m["windows"]], *last])


def _window(w: Mapping[str, Any]) -> str:
    p, furthest = w["performance"], w["features"][:1]
    said = "{:.4g} ({:.4g}-{:.4g})" if p["metric"] in ERRORS else "{:.4f} ({:.4f}-{:.4f})"
    true = said.format(*p["true"]) if p["true"] else "not known"
    estimated = "-" if p["estimated"] is None else f"{p['estimated']:.4f}"
    off = "-" if p.get("off") is None else f"{p['off']:+.4f}"
    far = "".join(f"  {f['feature']} {f['statistic']} {f['distance']:.2f}{_since(f)}" for f in furthest)
    far += f"  {w['slice']['slice']} {w['slice']['true'][0]:.4g}" if (w.get("slice") or {}).get("sure") else ""
    counts = f"{'v' + str(w['model_version']):>6}{w['rows']:>10,}{w['labelled']:>10,}"
    return f"{w['name']:<20}{counts}  {true:<24}{estimated:>9}{off:>9}{drifted(w):>9}  {w['verdict']:<12}{far}".rstrip()


def _since(feature: Mapping[str, Any]) -> str:
    """Training is not said, for it is the usual one."""
    return " from the window before" if feature.get("reference") == "previous" else ""


def upkeep_text(lines: Sequence[Mapping[str, Any]]) -> str:
    """What upkeep did to each table, or would do."""
    done = any("files_after" in x for x in lines)
    head = f"{'table':<34}{'files':>7}{'small':>7}{'after':>7}{'keeps hours':>13}"
    return "\n".join([head + f"{'MB':>9}{'MB after':>10}" * done, *[_upkeep_line(x) for x in lines]])


def _upkeep_line(x: Mapping[str, Any]) -> str:
    done = "files_after" in x
    after = str(x["files_after"]) if done else "few" if x["optimize"] else "same"
    megabytes = (f"{x['bytes_before'] / 1e6:.1f}", f"{x['bytes_after'] / 1e6:.1f}") if done else ("", "")
    counts = f"{x['files']:>7}{x['small']:>7}{after:>7}{x['keep_hours']:>13}"
    return f"{x['table']:<34}{counts}{megabytes[0]:>9}{megabytes[1]:>10}".rstrip()


def _row(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in row.items() if not k.startswith("_"))[:200]
