"""A model card: what a model is for, what it was made of, how good, for whom, and where not to trust it.

From the conf and the run record alone (Mitchell and others 2019, Model Cards
for Model Reporting); a record that says less gives a shorter card. To say one
more thing, add a function to LINES.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.spec import METRICS, TASKS, Feature, Model, Pipeline, length_words
from pipelines.state import Record

Json = Mapping[str, Any]
Line = Callable[[Model, Json], list[str]]  # what a conf says of a model, and the detail of its record -> sentences
MOST_FEATURES = 5
ANSWERS = {
    "binary": "the probability of {}",
    "regression": "the number {}",
    "multiclass": "one class of {}",
    "clustering": "one of some clusters",
    "anomaly": "how far it lies from what is usual, and whether that is too far",
    "forecasting": "the number {}, {} ahead",
    "recommendation": "how much a user likes an item, {}",
}


def card(pipeline: Pipeline, name: str, record: Record) -> list[tuple[str, list[str]]]:
    """Heading and sentences, in the order in which one asks; nothing is said twice or recomputed."""
    model, d = pipeline.models[name], record.detail
    feature = pipeline.features[model.features]
    first = [("Purpose", _purpose(pipeline, model, feature)), ("Data", _data(model, record, d))]
    return [(head, said) for head, said in [*first, *((h, line(model, d)) for h, line in LINES)] if said]


def _purpose(pipeline: Pipeline, model: Model, feature: Feature) -> list[str]:
    ahead = length_words(model.forecasting.horizon) if model.forecasting else ""
    said = f"{ANSWERS[model.task].format(model.label, ahead)}, for each row of {model.features}"
    known = f"as it was known at {feature.as_of_time}."
    return [*([pipeline.description] if pipeline.description else []), f"Gives {said}, {known}"]


def _data(model: Model, record: Record, d: Json) -> list[str]:
    versions = [f"{stage} version {read['upto']}" for stage, read in record.inputs.items() if "upto" in read]
    sides = d.get("splits") or {}
    dated = [part for part in sides.values() if "from" in part]
    first = min((str(part["from"])[:10] for part in dated), default="")
    last = max((str(part["to"])[:10] for part in dated), default="")
    rows = "Labelled rows" if TASKS[model.task].supervised else "Rows"
    of = [f"{rows} of {first} to {last}."] if dated else []
    return [*([f"Read {_listed(versions)}."] if versions else []), *of]


def _split(model: Model, d: Json) -> list[str]:
    asked = d.get("split") or {"by": "time"}
    words = {
        "time": "By time: the oldest rows trained, newer ones chose among the candidates, the newest judge.",
        "random": "At random, by a hash of the keys: rows of one time are on all sides.",
        "group": f"By group: all rows of one {asked.get('column')} are on one side.",
        "stratified": "At random within each class, so that each side has the same shares of them.",
    }
    return [words[asked["by"]]] if d.get("splits") else []


def _quality(model: Model, d: Json) -> list[str]:
    test, base = d.get("test") or {}, d.get("baseline") or {}
    names = [m for m in TASKS[model.task].headlines(test) if m in test]
    said = [f"{METRICS[m].label} {_with_interval(test[m])}, baseline {_figure(base.get(m))}." for m in names]
    return [*said, *_decision(d), *_backtest(model, d)]


def _decision(d: Json) -> list[str]:
    found = d.get("decision") or {}
    if not found:
        return []
    per_row = found.get("per_row") or {}
    why = "where it costs least" if found.get("cost") else "where F1 is best"
    said = f"Says yes from a score of {found['threshold']:.3f} on, {why} on the validation rows"
    if not per_row:
        return [f"{said}."]
    return [f"{said}: {_with_interval(per_row['chosen'])} a row, against {_figure(per_row['half'][0])} from 0.5 on."]


def _backtest(model: Model, d: Json) -> list[str]:
    metric = TASKS[model.task].headline[0]
    found = [fold["test"][metric][0] for fold in d.get("backtest") or () if metric in fold.get("test", {})]
    if not found:
        return []
    windows = f"{len(found)} window{'s' if len(found) > 1 else ''}"
    reach = " to ".join(dict.fromkeys(_figure(value) for value in (min(found), max(found))))
    return [f"In the past, over {windows}, {METRICS[metric].words} {reach}."]


def _weakest(model: Model, d: Json) -> list[str]:
    found = d.get("weakness") or {}
    if not found.get("slices"):
        return [f"None of {found['looked_at']:,} slices is surely worse than the rest."] if found else []
    worst = found["slices"][0]
    where = " and ".join(f"{column} {value}" for column, value in worst["where"].items())
    loss = f"{found['loss']} {_figure(worst['loss'][0])} against {_figure(worst['rest'])} elsewhere"
    return [f"Worst where {where}, {worst['rows']:,} test rows: {loss}."]


def _fairness(model: Model, d: Json) -> list[str]:
    said = []
    for column, found in (d.get("fairness") or {}).items():
        ends = found["largest"].get("selection_rate")
        if ends:
            high, low = (f"{100 * share:.1f} % of {value}" for value, share in (ends["high"], ends["low"]))
            said.append(f"By {column}: yes to {high}, to {low}.")
    return said


def _hangs_on(model: Model, d: Json) -> list[str]:
    lost = ((d.get("explained") or {}).get("permutation") or {}).get("features") or []
    names = [each["feature"] for each in lost if each["lost"] > 0] or [name for name, _ in d.get("importance") or ()]
    how = "what permuting a feature costs" if lost else "the learner's own account"
    return [f"{_listed(names[:MOST_FEATURES])}, by {how}."] if names else []


def _limits(model: Model, d: Json) -> list[str]:
    """What the card itself does not know."""
    test = (d.get("splits") or {}).get("test") or {}
    newest = [f"Nothing is known of rows later than {str(test['to'])[:10]}."] if "to" in test else []
    told = [f"{name} tells the label by itself; is it known in time?" for name in d.get("disguised") or ()]
    missing = [f"{d['unlabelled']:,} rows had no label and are in no figure."] if d.get("unlabelled") else []
    random = (d.get("split") or {}).get("by", "time") != "time"
    old = ["Judged beside rows of its own time: on later rows expect less."] if random else []
    unseen = ["Rates by group were not asked for."] if model.task == "binary" and not d.get("fairness") else []
    weighed = bool(model.label and d.get("importance"))
    causes = ["Importance says what the model uses, not what causes the label."] if weighed else []
    use = [] if model.label else ["No label says whether what it finds is of use."]
    return [*newest, *missing, *told, *old, *unseen, *causes, *use]


LINES: tuple[tuple[str, Line], ...] = (
    ("Split", _split),
    ("Quality", _quality),
    ("Weakest", _weakest),
    ("Fairness", _fairness),
    ("Hangs on", _hangs_on),
    ("Limits", _limits),
)


def _with_interval(values: Sequence[Any]) -> str:
    value, low, high = values
    return f"{_figure(value)} ({_figure(low)} to {_figure(high)})"


def _figure(value: Any) -> str:
    if not isinstance(value, int | float):
        return "—"
    return f"{value:.3f}" if abs(value) < 1_000 else f"{value:,.0f}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
