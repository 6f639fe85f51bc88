"""Replay flights month by month: a model that stays as it was, one trained anew each month, one when its monitor asks.

    python scripts/replay.py --to .lakeloom/replay [--months 12]

All three are trained on January to March, then each month lands, is scored by each, and is held against what happened.
The table at the end has for each month ROC AUC by labels and, in brackets, as it was estimated without them; and what
the monitor of the frozen model said of the month. The three furthest features are the seasons'; how far those of storms
are stands beside them, near or not.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import land
from ruamel.yaml import YAML

from pipelines.monitor.history import drifted
from pipelines.plan import Stage
from pipelines.run.order import Order
from pipelines.run.pipeline import run
from pipelines.show import monitors
from pipelines.spec import Pipeline, Target, load

CONF = Path(__file__).resolve().parent.parent / "conf" / "flights.yml"
ARMS = ("frozen", "monthly", "watched")
FIRST = 3  # months that all are trained on
MOST_NAMED = 3  # features in a cell
STORMS = {"rain": "weather_precip", "visibility": "weather_visib", "wind": "weather_wind", "delays": "_delay_avg_"}
CANDIDATE = {"kind": "xgboost", "rounds": 100, "depth": 6, "learning_rate": 0.1}


def main(arguments: list[str] | None = None) -> int:
    """Run the replay, print its table and who won; 1 where to train anew was no better in most months."""
    asked = _parser().parse_args(arguments)
    found = replay(asked.to, asked.months, CANDIDATE, arrived)
    for line in table(found):
        sys.stdout.write(f"{line}\n")
    gains = {arm: list(gained(found, arm)) for arm in ARMS[1:]}
    for arm, mine in gains.items():
        won, mean = sum(gain > 0 for gain in mine), sum(mine) / max(len(mine), 1)
        sys.stdout.write(f"{arm}, trained anew, beats frozen in {won} of {len(mine)} months, by {mean:.4f}\n")
    return int(not all(sum(gain > 0 for gain in mine) > len(mine) / 2 for mine in gains.values()))


def replay(
    to: Path, months: int, candidate: dict[str, Any], arrive: Callable[[Path, int], None]
) -> list[dict[str, Any]]:
    """Land and run, month after month; what each arm's monitor found.

    arrive: lays what has come by the end of a month into a landing folder.
    """
    pipeline, target = load(written(to, candidate)), _target(to)
    for month in range(FIRST, months + 1):
        arrive(Path(target.landing), month)
        _carried_out(pipeline, target, Order())
        if FIRST < month < months:
            _carried_out(pipeline, target, Order(("models.monthly",), Order.of([], ["models.monthly"]).asks))
    return monitors(pipeline, target)


def arrived(landing: Path, month: int) -> None:
    """All that the feed has by then."""
    list(land.land(land.feed(), landing, f"2013-{month:02}"))


def written(to: Path, candidate: dict[str, Any]) -> Path:
    """The conf of the flights with three models, three scores and three monitors in place of its own."""
    whole = YAML(typ="safe", pure=True).load(CONF)
    (model,) = whole["models"].values()
    model |= {"candidates": [candidate], "gates": [{"metric": "roc_auc", "min": 0.5}], "slices": []}
    whole["models"] = {arm: model for arm in ARMS}
    whole["scores"] = {arm: {"model": arm, "of": "departures", "mode": "batch"} for arm in ARMS}
    watch = {"drift": {"ignore": ["month"]}, "performance": {"drop": 0.03}}
    whole["monitors"] = {arm: {"scores": arm, **watch} for arm in ARMS}
    whole["monitors"]["watched"]["retrain"] = {"cooldown": "20 days"}
    to.mkdir(parents=True, exist_ok=True)
    yaml = YAML(typ="safe", pure=True)
    yaml.representer.ignore_aliases = lambda _: True  # a conf has no anchors
    yaml.dump(whole, to / "flights.yml")
    return to / "flights.yml"


def _target(to: Path) -> Target:
    place = to.resolve()
    return Target(
        warehouse=str(place / "warehouse"),
        landing=str(place / "landing"),
        tracking=f"sqlite:///{place / 'mlflow.db'}",
        artifacts=str(place / "artifacts"),
    )


def _carried_out(pipeline: Pipeline, target: Target, order: Order) -> None:
    for outcome in run(pipeline, target, order, _tell):
        if outcome.error:
            sys.stderr.write(f"{outcome.error}\n")


def _tell(stage: Stage, text: str) -> None:
    sys.stderr.write(f"{stage.id:<24} {text}\n")


def table(found: list[dict[str, Any]]) -> Iterator[str]:
    """A Markdown table: a line for each month after those that all were trained on."""
    yield (
        "| month | "
        + " | ".join(f"{arm} (estimated), version" for arm in ARMS)
        + " | frozen: drifted | storms: psi | verdict |"
    )
    yield "| --- |" + " --- |" * (len(ARMS) + 3)
    by = _by_month(found)
    for name in [name for name in by["frozen"] if all(name in by[arm] for arm in ARMS)]:
        yield f"| {name} | " + " | ".join(_cell(by[arm][name]) for arm in ARMS) + f" | {_drift(by['frozen'][name])} |"


def gained(found: list[dict[str, Any]], arm: str) -> Iterator[float]:
    """By how much ROC AUC of an arm is above the frozen one's, in each month that a newer version scored."""
    by = _by_month(found)
    for name, frozen in by["frozen"].items():
        mine = by[arm].get(name, frozen)
        both = [window["performance"]["true"] for window in (mine, frozen)]
        if mine["model_version"] > frozen["model_version"] and all(both):
            yield both[0][0] - both[1][0]


def _cell(window: dict[str, Any]) -> str:
    p = window["performance"]
    return f"{p['true'][0]:.4f} ({p['estimated']:.4f}), v{window['model_version']}" if p["true"] else "not known"


def _by_month(found: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Arm -> month -> its newest window, of months most of whose labels are known."""
    return {m["monitor"]: {w["name"]: w for w in m["windows"] if w["labelled"] > w["rows"] / 2} for m in found}


def _drift(window: dict[str, Any]) -> str:
    named = f": {', '.join(window['drifted'][:MOST_NAMED])}" if window["drifted"] else ""
    return f"{drifted(window)}{named} | {', '.join(_storms(window))} | {window['verdict']}"


def _storms(window: dict[str, Any]) -> Iterator[str]:
    """Of each kind the feature that is furthest from the reference, by psi; a star where it drifted."""
    for name, part in STORMS.items():
        mine = [f for f in window["features"] if part in f["feature"]]
        furthest = max(mine, key=lambda f: f["psi"], default=None)
        if furthest:
            yield f"{name} {furthest['psi']:.2f}{'*' * furthest['drifted']}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path(".lakeloom/replay"), help="a folder for all that it makes")
    parser.add_argument("--months", type=int, default=12, choices=range(4, 13), help="the last month of 2013")
    return parser


if __name__ == "__main__":
    sys.exit(main())
