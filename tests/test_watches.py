"""What a conf says of monitors: defaults, names that are not there, the place in the plan."""

from pathlib import Path

import pytest

from pipelines.check import check
from pipelines.errors import SpecError
from pipelines.plan import following, stages
from pipelines.spec import load, load_lines

GOLDEN = Path(__file__).parent / "golden" / "delays.yml"


def conf(tmp_path: Path, monitors: str) -> Path:
    path = tmp_path / "delays.yml"
    path.write_text(f"{GOLDEN.read_text()}\nmonitors:\n  {monitors}\n")
    return path


def test_a_monitor_needs_no_more_than_its_scores(tmp_path):
    pipeline, lines = load_lines(conf(tmp_path, "watch: {scores: late_daily}"))

    check(pipeline, lines)

    watch = pipeline.monitors["watch"]
    assert (watch.window, watch.reference, watch.rows, watch.retrain) == ("month", "training", 100, None)
    assert (watch.drift.statistic, watch.performance.metric, watch.performance.drop) == ("psi", None, None)
    assert [watch.drift.limit("x", s) for s in ("psi", "jensen_shannon", "wasserstein")] == [0.2, 0.1, 0.1]


def test_a_monitor_stands_after_its_scores(tmp_path):
    pipeline = load(conf(tmp_path, "watch: {scores: late_daily}"))

    assert [(s.id, s.needs) for s in stages(pipeline)][-2:] == [
        ("scores.late_daily", ("features.departures", "models.late_arrival")),
        ("monitors.watch", ("scores.late_daily",)),
    ]
    assert following(pipeline, "tables.flights")[-1] == "monitors.watch"


@pytest.mark.parametrize(
    ("monitors", "sentence"),
    [
        ("watch: {scores: late_dayly}", "monitors.watch.scores: no scores 'late_dayly'; did you mean 'late_daily'?"),
        ("watch: {scores: late_daily, drift: {ignore: [carier]}}",
         "monitors.watch.drift.ignore: departures has no feature 'carier'; did you mean 'carrier'?"),
        ("watch: {scores: late_daily, drift: {features: {month: 1}}}",
         "monitors.watch.drift.features: departures has no feature 'month'; there is carrier, distance, "),
        ("watch: {scores: late_daily, drft: {}}", "monitors.watch.drft: no such key; did you mean 'drift'?"),
        ("watch: {scores: late_daily, window: 1 month}",
         "monitors.watch.window: should be 'day', 'week' or 'month', got '1 month'"),
        ("watch: {scores: late_daily, retrain: {}}", "monitors.watch.retrain.cooldown: missing"),
        ("watch: {scores: late_daily, performance: {metric: mae}}",
         "monitors.watch.performance.metric: a task binary has no metric 'mae' to be watched; there is roc_auc, "),
        ("watch: {scores: late_daily, performance: {drop: 2}}",
         "monitors.watch.performance.drop: should be less than 1, got 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_watched_is_refused_with_its_line(tmp_path, monitors, sentence):
    with pytest.raises(SpecError) as caught:
        check(*load_lines(conf(tmp_path, monitors)))

    where, _, said = str(caught.value).partition(": ")
    assert said.startswith(sentence)
    assert where == f"{tmp_path}/delays.yml:{len(GOLDEN.read_text().splitlines()) + 3}"
