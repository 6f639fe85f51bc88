"""Counts and records in, judgements out: what is said of windows that are well, and of those that are not."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from test_causes import promise

from pipelines.evaluate.binary import BINS, roc_auc
from pipelines.monitor.bins import Numbers
from pipelines.monitor.estimating import gathered
from pipelines.monitor.history import drifted
from pipelines.monitor.statistics import psi
from pipelines.monitor.tallies import Reference, Totals
from pipelines.run.answers import Chances, Classes
from pipelines.run.answers import Numbers as Numerals
from pipelines.run.replaying import came_anew
from pipelines.run.watching import Subject, end, learned, name, watched
from pipelines.spec.monitor import Drift, Monitor, Retrain
from pipelines.state import History, Intent, Record

pytestmark = pytest.mark.spark

MONTHS = [datetime(2024, month, 1, tzinfo=UTC) for month in range(1, 7)]
AT = datetime(2024, 7, 1, tzinfo=UTC)
X = Numbers((0.0, 1.0, 2.0))
CALM = [[0.25, 0.25, 500], [0.75, 0.75, 500]]
TRAINED = {
    "version": 1, "threshold": 0.5, "test": {"roc_auc": [0.75, 0.73, 0.77]},
    "curves": {"calibration": CALM},
    "splits": {"train": {"from": "2023-10-01", "to": "2023-11-30"}, "test": {"from": "2023-12-01", "to": "2023-12-31"}},
}  # fmt: skip


def record(stage: str, detail: dict[str, Any], status: str = "ok") -> Record:
    inputs = {"features.f": {"upto": 3}}
    return Record("p", stage, 0, 0, "r", "d", status, AT, 1.0, inputs=inputs, detail=detail)  # type: ignore[arg-type]


HISTORY = History((record("models.m", TRAINED),), ())


def score(late: int = 500, on_time: int = 500, unknown: int = 0, auc: float = 0.75) -> dict[str, Any]:
    """Half of the rows score 1/4, half 3/4; the chance that a late one scores above one on time is auc."""
    low, high = str(BINS // 4), str(3 * BINS // 4)
    return {
        "1": {low: round(late * (1 - auc)), high: round(late * auc)},
        "0": {low: round(on_time * auc), high: round(on_time * (1 - auc))},
        "unknown": {low: unknown // 2, high: unknown - unknown // 2},
        "unscored": 0,
    }


def rows(count: int, slot: int = 1) -> dict[str, Any]:
    """As many rows in one slot; or in the two of the training slice."""
    found = [0] * X.slots
    found[slot] = count
    return {"rows": found, "sums": [float(n * i) for i, n in enumerate(found)]}


def totals(*windows: dict[str, Any], reference: bool = True) -> Totals:
    kept = {1: Reference({"x": X}, {"x": rows(1_000)})} if reference else {}
    return Totals(kept, {(start, 1): counts for start, counts in zip(MONTHS, windows, strict=False)})


def judged(made: Totals, history: History = HISTORY, **monitor: Any) -> dict[str, Any]:
    subject = Subject("monitors.w", Monitor(scores="s", **monitor), "m", "features.f")
    return watched(history, subject, made, set(made.windows))


WELL = {"x": rows(1_000), "": score()}


def test_a_window_like_the_training_waits_with_what_was_checked():
    (first, _) = judged(totals(WELL, WELL))["windows"]

    assert (first["name"], first["rows"], first["labelled"], first["verdict"]) == ("January 2024", 1_000, 1_000, "wait")
    assert first["performance"]["true"][0] == 0.75
    assert first["performance"]["true"][1] < 0.75 < first["performance"]["true"][2]
    assert first["performance"]["estimated"] == pytest.approx(0.75, abs=0.001)
    assert first["reasons"][1] == "none of 1 features drifted"


def test_the_interval_is_as_wide_as_by_the_formula_of_the_binomial():
    # with two scores, (auc - 1/2) x 2 is the difference of two shares of 500 rows each
    (found,) = judged(totals(WELL))["windows"]

    value, low, high = found["performance"]["true"]
    error = np.sqrt(2 * 0.75 * 0.25 / 500) / 2
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.15)
    assert value == 0.75


@pytest.mark.parametrize(
    ("counts", "verdict", "reason"),
    [
        ({"x": rows(0), "": score(0, 0)}, "investigate", "no row was scored"),
        ({}, "investigate", "no row was scored"),
        ({"x": rows(9), "": score(5, 4)}, "unchecked", "nothing is checked: 9 rows, 100 are needed"),
        ({"x": rows(1_000), "": score(0, 1_000, auc=0.5)}, "investigate",
         "all 1,000 rows that have a label lack what it asks for; roc_auc is estimated at 0.7500, against 0.7500"),
        ({"x": rows(1_000), "": score(0, 1_000, auc=0.5)}, "investigate",
         "all 1,000 rows that have a label lack what it asks for, and about 500 of 1,000 "
         "were to be expected otherwise"),
        ({"x": rows(1_000), "": score(0, 0, 1_000)}, "wait",
         "labels of 0 of 1,000 rows are known; roc_auc is estimated at 0.7500, against 0.7500"),
        ({"x": rows(1_000, slot=4), "": score()}, "wait", "1 of 1 features drifted: x (psi "),  # all are missing
        ({"x": rows(1_000, slot=4), "": score(0, 0, 1_000)}, "investigate", "1 of 1 features drifted: x (psi "),
        ({"x": rows(990), "": score()}, "investigate", "features of 990 of 1,000 rows were counted"),
        ({"": score()}, "investigate", "no feature was checked"),
        ({"x": rows(1_003), "": {**score(), "unscored": 3}}, "investigate", "3 rows have no score"),
        ({"x": rows(1_000), "": score(auc=0.6)}, "retrain", "roc_auc 0.6000 ("),
    ],
)  # fmt: skip
def test_whatever_a_window_is_like_it_has_a_stated_verdict(counts, verdict, reason):
    (found,) = judged(totals(counts))["windows"]

    assert found["verdict"] == verdict
    assert any(r.startswith(reason) for r in found["reasons"]), found["reasons"]


def test_labels_that_do_not_come_are_looked_into_once_they_are_overdue():
    unknown = {"x": rows(1_000), "": score(0, 0, 1_000)}
    performance = {"labels_within": "30 days"}

    early, late = (judged(totals(*[unknown] * count), performance=performance)["decision"] for count in (3, 4))

    assert early["verdict"] == "wait"  # February has 29 days
    said = "February 2024: labels of 0 of 1,000 rows are known 31 days after the window"
    assert (late["verdict"], late["reasons"][0]) == ("investigate", said)
    known = {"x": rows(1_000), "": score(300, 300, 400)}
    assert judged(totals(*[known] * 4), performance=performance)["decision"]["verdict"] == "wait"


def test_a_window_of_one_class_is_calm_only_where_no_other_was_to_be_expected():
    rare = {**TRAINED, "curves": {"calibration": [[0.25, 0.0005, 500], [0.75, 0.0015, 500]]}}
    history = History((record("models.m", {**rare, "test": {"roc_auc": [0.625, 0.6, 0.65]}}),), ())

    (found,) = judged(totals({"x": rows(1_000), "": score(0, 1_000)}), history)["windows"]

    assert found["verdict"] == "wait" and found["reasons"][0].startswith("all 1,000 rows that have a label lack")


def test_after_a_rollback_the_windows_of_the_former_champion_are_decided_on():
    """Version 2 scored March; then version 1 answers again, and does badly."""
    second = {**TRAINED, "version": 2, "splits": {"test": {"from": "2024-01-01", "to": "2024-01-31"}}}
    second["splits"] |= {"train": {"from": "2023-10-01", "to": "2023-11-30"}}
    moved = {"who": "ann", "reason": "worse", "back": True}
    trained = [replace(record("models.m", d), model_version=v) for v, d in ((1, TRAINED), (2, second))]
    back = replace(record("models.m", {**TRAINED, "moved": moved}), model_version=1)
    made = totals(WELL, WELL)
    bad, after = {"x": rows(1_000), "": score(auc=0.6)}, {"x": rows(1_000), "": score()}
    windows = {**made.windows, (MONTHS[2], 2): WELL, (MONTHS[3], 1): bad, (MONTHS[4], 1): after}
    references = {**made.references, 2: made.references[1]}

    found = judged(Totals(references, windows), History((*trained, back), ()))

    assert (found["decision"]["verdict"], found["decision"]["window"]) == ("retrain", "April 2024")
    assert {w["model_version"] for w in found["windows"] if not w["rows"]} == set()
    assert learned(History((*trained, back), ()), "m") == datetime(2024, 2, 1, tzinfo=UTC)


def test_rows_that_come_while_none_was_ever_scored_are_investigated():
    cases = ((MONTHS[0], "wait"), (MONTHS[2], "investigate"))
    for until, verdict in cases:
        subject = Subject("monitors.w", Monitor(scores="s"), "m", "features.f", until=until)

        found = watched(HISTORY, subject, Totals({}, {}), set())["decision"]

        assert found["verdict"] == verdict, until
    assert found["reasons"] == ["no row was scored since the training, and rows came until 2024-03-01"]


def test_a_training_that_has_to_wait_hides_no_other_window():
    gapped = totals({"x": rows(1_000), "": score(auc=0.6)}, WELL, WELL, WELL)
    del gapped.windows[MONTHS[1], 1]

    found = judged(gapped, retrain=Retrain(cooldown="60 days"))["decision"]

    assert (found["verdict"], found["window"]) == ("investigate", "February 2024")
    assert found["reasons"][0] == "February 2024: no row was scored"
    assert any(r.startswith("cools down: January 2024") for r in found["reasons"])


def test_an_estimate_of_scores_that_could_not_be_calibrated_is_no_comfort():
    flat = {**TRAINED, "curves": {"calibration": [[0.25, 0.75, 500], [0.75, 0.25, 500]]}}

    (found,) = judged(totals(UNKNOWN), History((record("models.m", flat),), ()))["windows"]

    assert found["verdict"] == "investigate" and "could not be calibrated" in found["reasons"][0]


def test_an_estimate_is_held_against_the_rows_whose_labels_came():
    """Of the labelled half every score is 3/4; of the others 1/4: their accuracy differs, and both are right."""
    low, high = str(BINS // 4), str(3 * BINS // 4)
    half = {"1": {high: 375}, "0": {high: 125}, "unknown": {low: 500}, "unscored": 0}
    curve = {"calibration": [[0.25, 0.05, 500], [0.75, 0.75, 500]]}
    history = History((record("models.m", {**TRAINED, "curves": curve, "test": {"accuracy": [0.85, 0.8, 0.9]}}),), ())

    found = judged(totals({"x": rows(1_000), "": half}), history, performance={"metric": "accuracy"})["windows"][0]

    assert found["performance"]["true"][0] == 0.75
    assert found["performance"]["estimated"] == pytest.approx(0.85, abs=0.01)
    assert found["performance"]["off"] == pytest.approx(0, abs=0.01)


def test_a_month_without_a_row_between_two_others_is_investigated():
    gapped = totals(WELL, WELL, WELL, WELL)
    del gapped.windows[MONTHS[1], 1]

    found = judged(gapped)

    shown = [(w["name"], w["rows"], w["verdict"]) for w in found["windows"]]
    assert shown[:2] == [("January 2024", 1_000, "wait"), ("February 2024", 0, "investigate")]
    assert found["decision"]["verdict"] == "investigate"
    assert found["decision"]["reasons"] == ["February 2024: no row was scored"]


@pytest.mark.parametrize(
    ("until", "names", "reason"),
    [
        (None, ["January 2024", "February 2024"], "January 2024: "),
        (MONTHS[1], ["January 2024", "February 2024"], "January 2024: "),
        (MONTHS[2], ["January 2024", "February 2024"], "February 2024: "),  # no later row was scored, and one came
        (MONTHS[3], ["January 2024", "February 2024", "March 2024"], "March 2024: no row was scored"),
        (AT, ["January 2024", "February 2024", "March 2024"], "March 2024: no row was scored"),
    ],
)
def test_scores_that_stop_while_rows_still_come_do_not_leave_a_window_open(until, names, reason):
    subject = Subject("monitors.w", Monitor(scores="s"), "m", "features.f", until=until)
    made = totals(WELL, WELL)

    found = watched(HISTORY, subject, made, set(made.windows))

    assert [w["name"] for w in found["windows"]] == names
    assert found["decision"]["reasons"][0].startswith(reason)


def test_a_month_that_was_missing_is_judged_once_its_rows_come():
    made = totals(WELL, WELL, WELL)
    gapped = Totals(made.references, {k: v for k, v in made.windows.items() if k[0] != MONTHS[1]})
    before = record("monitors.w", judged(gapped))

    found = judged(made, History((*HISTORY.records, before), ()))

    assert [(w["name"], w["verdict"]) for w in found["windows"]][1] == ("February 2024", "wait")
    assert found["decision"]["verdict"] == "wait"


def test_scores_that_moved_are_looked_into_while_no_label_says_what_it_did():
    moved = {str(BINS // 4): 900, str(3 * BINS // 4): 100}
    unknown = {"x": rows(1_000), "": {"0": {}, "1": {}, "unknown": moved, "unscored": 0}}

    (_, second) = judged(totals({"x": rows(1_000), "": score(0, 0, 1_000)}, unknown))["windows"]

    assert second["verdict"] == "investigate"
    assert second["score_psi"] == pytest.approx(0.4 * np.log(9), rel=0.02)
    assert any(r.startswith("scores drifted from the window before (psi 0.8") for r in second["reasons"])


def test_scores_are_held_against_those_of_the_test_slice_too_where_the_training_is_the_reference():
    low = {str(BINS // 4): 900, str(3 * BINS // 4): 100}
    unknown = {"x": rows(1_000), "": {"0": {}, "1": {}, "unknown": low, "unscored": 0}}
    outline = Chances().outlined({"unknown": {"0": 400, str(BINS // 4): 100, str(3 * BINS // 4): 500}})
    told = History((record("models.m", {**TRAINED, "scores": outline}),), ())

    first, second = judged(totals(unknown, unknown), told)["windows"]

    # 400, 100, 500 rows of three bars against 0, 900, 100; half a row is added to each of twenty bars
    sizes = 400 * np.log(400.5 / 0.5) + 800 * np.log(900.5 / 100.5) + 400 * np.log(500.5 / 100.5)
    assert first["score_psi_training"] == pytest.approx(sizes / 1_010)
    assert (first["score_psi"], second["score_psi"], second["verdict"]) == (None, 0.0, "investigate")
    said = [r for w in (first, second) for r in w["reasons"] if r.startswith("scores drifted")]
    assert said == [f"scores drifted from those of the test slice (psi {first['score_psi_training']:.2f})"] * 2
    again = judged(totals(unknown, unknown), told, reference="previous")["windows"]
    assert [w["score_psi_training"] for w in again] == [None, None]


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_an_outline_of_numbers_has_few_bins_and_is_as_far_from_a_window_as_all_of_them(shift):
    before, now = numbers(1, 2.5, rows=4_000)[0], numbers(2, 2.5, shift=shift)[0]

    outline = Numerals().outlined(before)

    assert len(outline["scores"]) == 20 and sum(outline["scores"].values()) == 4_000
    far, whole = (psi(*Numerals().bars(side, now)) for side in (outline, before))
    assert far == pytest.approx(whole, abs=0.01)


UNKNOWN = {"x": rows(1_000), "": score(0, 0, 1_000)}


def test_where_labels_came_a_window_says_how_far_its_estimate_was_off():
    right, wrong, unknown = judged(totals(WELL, {"x": rows(1_000), "": score(auc=0.69)}, UNKNOWN))["windows"]

    assert right["performance"]["off"] == pytest.approx(0, abs=0.001)
    assert wrong["performance"]["off"] == pytest.approx(0.06, abs=0.001)  # what scores alone say is 0.75 still
    assert (unknown["performance"]["off"], unknown["verdict"]) == (None, "wait")  # off by 0.03 on average
    few = {"x": rows(1_000), "": score(200, 200, 600, auc=0.6)}
    assert judged(totals(few))["windows"][0]["performance"]["off"] is None


def test_an_estimate_is_no_comfort_once_labels_of_other_windows_say_how_wrong_estimates_are():
    made = totals({"x": rows(1_000), "": score(auc=0.67)}, UNKNOWN, UNKNOWN)
    calm = Totals(made.references, {**made.windows, (MONTHS[0], 1): UNKNOWN})
    before = record("monitors.w", judged(calm))
    subject = Subject("monitors.w", Monitor(scores="s"), "m", "features.f")

    after = watched(History((*HISTORY.records, before), ()), subject, made, {(MONTHS[0], 1)})

    assert before.detail["decision"]["verdict"] == "wait"
    assert [(w["name"], w["verdict"]) for w in after["windows"]] == [
        ("January 2024", "retrain"), ("February 2024", "investigate"), ("March 2024", "investigate"),
    ]  # fmt: skip
    said = "labels of 0 of 1,000 rows are known; roc_auc is estimated at 0.7500, against 0.7500; estimates were off by "
    assert after["windows"][1]["reasons"][0] == f"{said}0.0800 on average over 1 window"


TESTED = [{"value": v, "rows": 400, "metrics": {"roc_auc": 0.75}} for v in ("a", "b", "c")]
SLICED = History((record("models.m", {**TRAINED, "slices": {"shop": TESTED}}),), ())


def by_shop(**shops: dict[str, Any]) -> dict[str, Any]:
    return {"x": rows(1_000), "": score(), "by shop": shops}


def test_a_slice_that_surely_lost_too_much_is_looked_into_though_the_whole_holds():
    made = totals(by_shop(a=score(170, 170, auc=0.5), b=score(170, 170), c=score(160, 160)))

    (window,) = judged(made, SLICED)["windows"]

    assert (window["verdict"], window["performance"]["true"][0]) == ("investigate", 0.75)
    found = window["slice"]
    assert (found["slice"], found["labelled"], found["looked_at"], found["sure"]) == ("shop = a", 340, 3, True)
    value, low, high = found["true"]
    error = np.sqrt(2 * 0.25 / 170) / 2 * np.sqrt(1 + 340 / 400)  # of two shares, and of the test slice's rows
    assert (value, (high - low) / 2) == (0.5, pytest.approx(2.394 * error, rel=0.15))  # 1 - 0.05 / 6 of the normal
    assert window["reasons"][0] == f"roc_auc of shop = a 0.5000 ({low:.4f} to {high:.4f}), 0.2500 below 0.7500"


@pytest.mark.parametrize(
    ("shop", "said"),
    [
        (score(60, 60, auc=0.66), ("shop = a", False)),  # may be chance
        (score(170, 170, auc=0.72), ("shop = a", False)),  # not too much
        (score(40, 40, auc=0.1), ("shop = b", False)),  # too few rows
        (score(170, 170, 400, auc=0.1), ("shop = b", False)),  # too few labels
    ],
)
def test_a_slice_that_lost_by_chance_or_has_few_rows_is_not(shop, said):
    (window,) = judged(totals(by_shop(a=shop, b=score(auc=0.74))), SLICED)["windows"]

    assert (window["verdict"], (window["slice"]["slice"], window["slice"]["sure"])) == ("wait", said)
    assert judged(totals(by_shop(d=score(auc=0.5))), SLICED)["windows"][0]["slice"] is None  # not of the test slice


@pytest.mark.parametrize(("spread", "verdict"), [(2.5, "wait"), (5.0, "investigate")])
def test_a_slice_of_numbers_is_worse_where_its_errors_are_larger(spread, verdict):
    test = {"mae": [2.0, 1.9, 2.1]}
    told = {**TRAINED, "test": test, "slices": {"shop": [{"value": "a", "rows": 400, "metrics": {"mae": 2.0}}]}}
    counts = {"x": rows(400), "": numbers(1, 2.5)[0], "by shop": {"a": numbers(2, spread)[0]}}
    subject = Subject("monitors.w", Monitor(scores="s"), "m", "features.f", "regression")

    (window,) = watched(History((record("models.m", told),), ()), subject, totals(counts), {(MONTHS[0], 1)})["windows"]

    assert (window["verdict"], window["slice"]["sure"]) == (verdict, verdict == "investigate")
    assert not window["slice"]["sure"] or "% above 2" in window["reasons"][0]


def test_without_a_reference_nothing_is_called_well():
    (found,) = judged(totals(WELL, reference=False))["windows"]

    assert found["verdict"] == "investigate"
    assert found["reasons"][0] == (
        "no reference: no run that is recorded here trained version 1, or its training slice cannot be read"
    )


@pytest.mark.parametrize("counts", [WELL, {"x": rows(9), "": score(5, 4)}])
def test_without_a_reference_there_is_no_calm_before_a_window_is_over(counts):
    found = judged(totals(counts, reference=False))["decision"]

    said = "no reference: no run that is recorded here trained version 1, or its training slice cannot be read"
    assert (found["verdict"], found["reasons"][0]) == ("investigate", said)
    assert found["reasons"][1] == "nothing is decided: no window after the model's training is over"


def test_of_a_window_that_is_unchecked_no_figure_is_told_which_could_look_good():
    few = {"x": rows(40, slot=4), "": score(20, 20, auc=1.0)}
    made, hang = totals(WELL, few, few), {"ndcg": 0.99, "features": []}
    subject = Subject("monitors.w", Monitor(scores="s", attribution={}), "m", "features.f")

    said = watched(HISTORY, subject, made, set(made.windows), dict.fromkeys(made.windows, hang))

    well, unchecked, _ = said["windows"]
    told = ("verdict", "features", "drifted", "attribution")
    assert [unchecked[k] for k in told] == ["unchecked", [], [], None]
    assert (unchecked["performance"]["true"], unchecked["performance"]["estimated"]) == (None, None)
    assert well["performance"]["true"] and well["attribution"] == hang
    assert said["decision"]["verdict"] == "unchecked"
    assert said["decision"]["reasons"] == ["February 2024: nothing is checked: 40 rows, 100 are needed"]


def test_without_a_record_of_the_training_there_is_nothing_to_hold_it_against():
    (found,) = judged(totals(WELL), History((), ()))["windows"]

    assert (found["verdict"], found["performance"]["estimated"]) == ("investigate", None)
    assert "roc_auc has nothing to be held against" in found["reasons"]


def test_the_window_before_can_be_the_reference():
    worse = {"x": rows(1_000, slot=2), "": score(auc=0.65)}

    first, second, third = judged(totals(WELL, worse, worse), reference="previous")["windows"]

    assert first["reasons"][-1] == "no feature is checked in the first window"
    assert (second["verdict"], second["performance"]["before"]) == ("retrain", 0.75)
    assert (third["verdict"], third["performance"]["before"]) == ("wait", 0.65)
    assert (second["drifted"], third["drifted"]) == (["x"], [])


def test_a_window_can_be_held_against_the_training_and_the_window_before():
    moved, better = {"x": rows(1_000, slot=2), "": score()}, {"x": rows(1_000), "": score(auc=0.85)}

    first, second, third, fourth = judged(totals(moved, moved, better, WELL), reference="both")["windows"]

    assert [w["features"][0]["reference"] for w in (first, second, third)] == ["training", "training", "previous"]
    assert [w["drifted"] for w in (first, second, third, fourth)] == [["x"], ["x"], ["x"], []]
    assert second["reasons"][1].startswith("1 of 1 features drifted: x (psi ")
    assert second["reasons"][1].endswith(" from training)")
    assert third["reasons"][1].endswith(" from the window before)")
    assert [w["performance"]["before"] for w in (first, second, third, fourth)] == [0.75, 0.75, 0.75, 0.85]
    assert (third["verdict"], fourth["verdict"]) == ("wait", "retrain")
    assert fourth["reasons"][0].endswith(", 0.1000 below 0.8500 of the window before")


def test_the_last_window_is_not_decided_on_before_it_is_over():
    bad = {"x": rows(1_000), "": score(auc=0.6)}

    still, over = judged(totals(WELL, bad))["decision"], judged(totals(WELL, bad, {"": score(1, 1)}))["decision"]

    assert (still["verdict"], over["verdict"], over["asks"]) == ("wait", "retrain", False)
    assert over["reasons"][0].startswith("February 2024: roc_auc 0.6000 (")
    asks = judged(totals(WELL, bad, WELL), retrain=Retrain(cooldown="40 weeks"))["decision"]
    assert (asks["verdict"], asks["asks"]) == ("wait", True)  # it cools down


def test_windows_that_a_batch_did_not_touch_are_still_decided_on():
    bad = {"x": rows(1_000), "": score(auc=0.6)}
    made = totals(bad, WELL, WELL)
    before = judged(made)
    history = History((*HISTORY.records, record("monitors.w", before)), ())
    subject = Subject("monitors.w", Monitor(scores="s"), "m", "features.f")

    after = watched(history, subject, made, {(MONTHS[2], 1)})

    assert [w["name"] for w in after["windows"]] == ["March 2024"]
    assert after["decision"] == before["decision"]
    assert after["decision"]["verdict"] == "retrain"


def test_windows_of_an_older_version_are_shown_and_not_decided_on():
    bad = {"x": rows(1_000), "": score(auc=0.6)}
    made = totals(bad, WELL, WELL)
    made.windows[MONTHS[1], 2] = made.windows[MONTHS[2], 2] = WELL
    history = History((*HISTORY.records, record("models.m", {**TRAINED, "version": 2})), ())
    made.references[2] = made.references[1]

    found = judged(made, history)

    assert [(w["model_version"], w["verdict"]) for w in found["windows"]] == [
        (1, "retrain"), (1, "wait"), (2, "wait"), (1, "wait"), (2, "wait"),
    ]  # fmt: skip
    assert found["decision"]["verdict"] == "wait"


def test_what_a_training_saw_ends_with_its_newest_day_even_if_a_gate_refused_it():
    later = {**TRAINED, "splits": {"train": {"to": "2024-02-01"}, "test": {"to": "2024-02-29"}}}
    history = History((*HISTORY.records, record("models.m", later, "refused")), ())

    assert learned(HISTORY, "m") == datetime(2024, 1, 1, tzinfo=UTC)
    assert learned(history, "m") == datetime(2024, 3, 1, tzinfo=UTC)
    assert learned(History((), ()), "m") is None


@pytest.mark.parametrize(
    ("period", "until", "said"),
    [
        ("day", "2024-02-02", "2024-02-01"),
        ("week", "2024-02-08", "week of 2024-02-01"),
        ("month", "2024-03-01", "February 2024"),
    ],
)
def test_a_window_has_an_end_and_a_name(period, until, said):
    assert (end(MONTHS[1], period).date().isoformat(), name(MONTHS[1], period)) == (until, said)


def test_a_window_all_of_whose_features_are_ignored_is_not_all_well():
    (first, _) = judged(totals(WELL, WELL), drift=Drift(ignore=("x",)))["windows"]

    assert (first["verdict"], first["reasons"][0]) == ("investigate", "no feature was checked")
    assert drifted(first) == "0 of 0"


NUMBERS = History((record("models.m", {**TRAINED, "test": {"mae": [2.0, 1.9, 2.1], "rmse": [2.5, 2.4, 2.6]}}),), ())


def numbers(seed: int, spread: float, shift: float = 0.0, rows: int = 400) -> tuple[dict[str, Any], np.ndarray]:
    """What Spark counts of predictions about 100 and their errors; and the errors."""
    rng = np.random.default_rng(seed)
    scores, errors = rng.normal(100 + shift, 10, rows), rng.normal(0, spread, rows)
    places = np.ceil(np.log(scores / 1e-6) / np.log(1.002)).astype(int).tolist()
    sums = {n: float((np.abs(errors) ** p).sum()) for n, p in (("absolute", 1), ("square", 2), ("fourth", 4))}
    counted = {str(p): places.count(p) for p in places}
    return {"scores": counted, "sum": float(scores.sum()), "labelled": rows, **sums, "unscored": 0}, errors


def judged_numbers(*windows: dict[str, Any], **monitor: Any) -> list[dict[str, Any]]:
    made = totals(*({"x": rows(400), "": each} for each in windows))
    subject = Subject("monitors.w", Monitor(scores="s", **monitor), "m", "features.f", "regression")
    return watched(NUMBERS, subject, made, set(made.windows))["windows"]


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_errors_of_numbers_are_theirs_and_the_interval_is_the_bootstraps(metric):
    counted, errors = numbers(1, spread=2.5)

    (window,) = judged_numbers(counted, performance={"metric": metric})

    of = (lambda e: np.abs(e).mean()) if metric == "mae" else (lambda e: np.sqrt((e**2).mean()))
    drawn = [of(np.random.default_rng(s).choice(errors, len(errors))) for s in range(500)]
    value, low, high = window["performance"]["true"]
    assert value == pytest.approx(of(errors), rel=1e-6)
    assert (low, high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), rel=0.02)
    assert window["score_mean"] == pytest.approx(100, abs=2)


def test_larger_errors_ask_for_training_and_moved_numbers_are_seen():
    (calm, worse, moved) = judged_numbers(numbers(1, 2.5)[0], numbers(2, 5.0)[0], numbers(3, 2.5, shift=20)[0])

    assert (calm["verdict"], worse["verdict"], moved["verdict"]) == ("wait", "retrain", "wait")
    assert worse["score_psi"] < 0.2 < 1 < moved["score_psi"]
    assert moved["reasons"][-1].startswith("scores drifted from the window before (psi")


def test_the_errors_of_numbers_wait_for_labels():
    unlabelled = {**numbers(1, 2.5)[0], "labelled": 0, "absolute": 0.0, "square": 0.0, "fourth": 0.0}

    (window,) = judged_numbers(unlabelled)

    assert (window["verdict"], window["performance"]["true"]) == ("wait", None)
    assert window["reasons"][0] == "labels of 0 of 400 rows are known; mae waits for them"


SURE = {"classes": ["a", "b", "c"], "test": {"accuracy": [0.8, 0.78, 0.82], "macro_f1": [0.79, 0.77, 0.81]}}
CLASSES = History((record("models.m", {**TRAINED, **SURE, "curves": {"calibration": CALM}}),), ())


def classed(seed: int, right: float = 0.8, unknown: int = 0) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """What Spark counts of 900 classes given at 0.8 each; the labels and the classes of those that are known."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(["a", "b", "c"], 900, p=[0.6, 0.3, 0.1])
    wrong = np.array([rng.choice([c for c in "abc" if c != label]) for label in labels])
    given = np.where(rng.random(900) < right, labels, wrong)
    known, at, pairs = slice(unknown, None), str(BINS * 8 // 10), dict[str, dict[str, int]]()
    for label, each in zip(labels[known], given[known], strict=True):
        pairs.setdefault(label, {})[each] = pairs.get(label, {}).get(each, 0) + 1
    hits = int((labels[known] == given[known]).sum())
    fates = {"right": {at: hits}, "wrong": {at: 900 - unknown - hits}, "unknown": {at: unknown}}
    rows_given = {c: int((given == c).sum()) for c in "abc"}
    return {"given": rows_given, "pairs": pairs, **fates, "unscored": 0}, labels[known], given[known]


def judged_classes(*windows: dict[str, Any], **monitor: Any) -> list[dict[str, Any]]:
    made = totals(*({"x": rows(900), "": each} for each in windows))
    subject = Subject("monitors.w", Monitor(scores="s", **monitor), "m", "features.f", "multiclass")
    return watched(CLASSES, subject, made, set(made.windows))["windows"]


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_metrics_of_classes_are_scikit_learns_and_the_interval_is_the_bootstraps(metric):
    counted, labels, given = classed(1)

    (window,) = judged_classes(counted, performance={"metric": metric})

    of = accuracy_score if metric == "accuracy" else partial(f1_score, average="macro")
    picked = [np.random.default_rng(s).choice(900, 900) for s in range(500)]
    value, low, high = window["performance"]["true"]
    assert value == pytest.approx(of(labels, given), abs=1e-6)
    assert (low, high) == pytest.approx(np.percentile([of(labels[i], given[i]) for i in picked], [2.5, 97.5]), abs=0.01)
    assert window["verdict"] == "wait"


def test_classes_that_are_wrong_more_often_ask_for_training_and_other_classes_are_seen():
    calm, worse = classed(1)[0], classed(2, right=0.6)[0]
    moved = {**calm, "given": {"a": 100, "b": 100, "c": 600, "d": 100}}

    windows = judged_classes(calm, worse, moved)

    assert [w["verdict"] for w in windows] == ["wait", "retrain", "wait"]
    assert windows[2]["score_psi"] > 0.5 and windows[2]["reasons"][-1].startswith("scores drifted")
    assert Classes().bars(Classes().outlined(calm), moved) == Classes().bars(calm, moved)


def test_before_labels_are_known_the_accuracy_of_classes_is_estimated_and_nothing_else():
    counted = classed(1, unknown=900)[0]

    (window,) = judged_classes(counted)
    (other,) = judged_classes(counted, performance={"metric": "macro_f1"})

    assert window["performance"]["estimated"] == pytest.approx(0.8, abs=0.002)
    assert (window["verdict"], other["verdict"]) == ("wait", "wait")
    assert other["reasons"][0] == "labels of 0 of 900 rows are known; macro_f1 waits for them"


def test_an_interval_of_scores_in_a_narrow_band_is_as_wide_as_by_all_their_bins():
    rng = np.random.default_rng(3)
    chance = rng.random(20_000) * 0.01
    bins, late = (chance * BINS).astype(int), rng.random(20_000) < chance
    counts = np.stack([np.bincount(bins[late == side], minlength=BINS) for side in (False, True)], axis=1).astype(float)

    few = gathered(counts, 16)

    assert gathered(counts, 512) is counts
    assert (few.sum(axis=0) == counts.sum(axis=0)).all() and 8 < np.count_nonzero(few.any(axis=1)) <= 16
    assert roc_auc(few) == pytest.approx(roc_auc(counts), abs=0.01)


def test_a_replay_of_the_quarantine_is_not_held_against_what_came_new():
    kept, replayed = (promise("x: not be null", batch, 1_000, 3) for batch in (0, 1))
    who = ("p", kept.stage, 0)
    intents = [Intent(*who, 0, "r", "d", AT), Intent(*who, 1, "r", "d", AT, {"quarantine": {"rows": 1_000}})]

    assert came_anew([kept, replayed], intents) == [kept]
