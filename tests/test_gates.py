"""Gates: evidence in, promote or refuse with reasons out."""

import pytest

from pipelines.gates import Decision, Evidence, Part, decide, parity
from pipelines.spec import Fairness, Gate

LEAST = Gate(metric="roc_auc", min=0.7)
MOST = Gate(metric="log_loss", max=0.4)
BASELINE = Gate(metric="roc_auc", versus="baseline")
SMALLER = Gate(metric="log_loss", versus="baseline")
CHAMPION = Gate(metric="roc_auc", versus="champion", confidence=0.9)
LIGHTER = Gate(metric="log_loss", versus="champion", confidence=0.9)
EACH = Gate(metric="roc_auc", min=0.6, slice="origin", rows=100)
EACH_AT_MOST = Gate(metric="log_loss", max=0.5, slice="origin", rows=100)
PARTS = (
    Part("EWR", 300, {"roc_auc": 0.7, "log_loss": 0.3}),
    Part("JFK", 100, {"roc_auc": 0.61, "log_loss": 0.6}),
    Part("LGA", 99, {"roc_auc": 0.2, "log_loss": 0.9}),  # too few to count
    Part("TEB", 500, {}),  # one label alone
)


def evidence(value: float = 0.7, low: float = 0.68, baseline: float = 0.5, **more) -> Evidence:
    high = max(value, 0.72)
    return Evidence({m: (value, low, high) for m in ("roc_auc", "log_loss")}, dict.fromkeys(
        ("roc_auc", "log_loss"), baseline), **more)  # fmt: skip


def versus(gate: Gate, *found) -> dict:
    return {"champion": True, "versus": {(gate.metric, gate.confidence): found}}


@pytest.mark.parametrize(
    ("gate", "found", "expected"),
    [
        (LEAST, evidence(0.7), Decision("roc_auc at least 0.7", True, "0.7000 (0.6800 to 0.7200)")),
        (LEAST, evidence(0.6999), Decision("roc_auc at least 0.7", False, "0.6999 (0.6800 to 0.7200)")),
        (MOST, evidence(0.4, 0.3), Decision("log_loss at most 0.4", True, "0.4000 (0.3000 to 0.7200)")),
        (MOST, evidence(0.4001, 0.3), Decision("log_loss at most 0.4", False, "0.4001 (0.3000 to 0.7200)")),
        (
            BASELINE,
            evidence(low=0.5001),
            Decision("roc_auc above the baseline", True, "0.7000 (0.5001 to 0.7200) against 0.5000"),
        ),
        (
            BASELINE,
            evidence(low=0.5),  # better, but not surely
            Decision("roc_auc above the baseline", False, "0.7000 (0.5000 to 0.7200) against 0.5000"),
        ),
        (
            SMALLER,
            evidence(baseline=0.7201),
            Decision("log_loss below the baseline", True, "0.7000 (0.6800 to 0.7200) against 0.7201"),
        ),
        (
            SMALLER,
            evidence(baseline=0.72),  # smaller, but not surely
            Decision("log_loss below the baseline", False, "0.7000 (0.6800 to 0.7200) against 0.7200"),
        ),
        (
            CHAMPION,
            evidence(),
            Decision("roc_auc above the champion, 90% sure", True, "no champion yet: the first to pass becomes it"),
        ),
        (
            CHAMPION,
            evidence(champion=True),
            Decision(
                "roc_auc above the champion, 90% sure",
                True,
                "not comparable: the champion's features are gone, or all rows are older than it",
            ),
        ),
        (
            CHAMPION,
            evidence(**versus(CHAMPION, True, 0.02, 0.0012)),
            Decision("roc_auc above the champion, 90% sure", True, "difference +0.0200, at least +0.0012"),
        ),
        (
            CHAMPION,
            evidence(**versus(CHAMPION, False, 0.02, -0.003)),
            Decision("roc_auc above the champion, 90% sure", False, "difference +0.0200, at least -0.0030"),
        ),
        (
            LIGHTER,
            evidence(**versus(LIGHTER, True, 0.02, 0.0012)),
            Decision("log_loss below the champion, 90% sure", True, "difference -0.0200, at most -0.0012"),
        ),
        (
            EACH,
            evidence(slices={"origin": PARTS}),
            Decision(
                "roc_auc at least 0.6 for each origin of 100 rows or more",
                True,
                "0.6100 for JFK, 100 rows, is the worst of 2",
            ),
        ),
        (
            EACH_AT_MOST,
            evidence(slices={"origin": PARTS}),
            Decision(
                "log_loss at most 0.5 for each origin of 100 rows or more",
                False,
                "0.6000 for JFK, 100 rows, is the worst of 2",
            ),
        ),
        (
            EACH,
            evidence(slices={"origin": PARTS[2:]}),
            Decision(
                "roc_auc at least 0.6 for each origin of 100 rows or more",
                False,
                "no value of origin has so many rows and the metric",
            ),
        ),
    ],
)
def test_a_gate_says_whether_and_why(gate, found, expected):
    assert decide([gate], found) == (expected,)


def test_every_gate_is_decided_in_the_order_of_the_conf():
    found = Evidence({"roc_auc": (0.6, 0.5, 0.7), "f1": (0.4, 0.3, 0.5)}, {"roc_auc": 0.5, "f1": 0.2})
    gates = [LEAST, Gate(metric="f1", min=0.3), CHAMPION]

    assert [d.passed for d in decide(gates, found)] == [False, True, True]


def test_two_gates_of_one_metric_keep_their_own_confidence():
    sure, surer = (Gate(metric="roc_auc", versus="champion", confidence=c) for c in (0.9, 0.99))
    by = {("roc_auc", 0.9): (True, 0.02, 0.001), ("roc_auc", 0.99): (False, 0.02, -0.01)}

    assert [d.passed for d in decide([sure, surer], evidence(champion=True, versus=by))] == [True, False]


def test_no_gates_refuse_nothing():
    assert decide([], evidence()) == ()


FAIR = Fairness(columns=("depot",), parity={"selection_rate": 0.1, "precision": 0.3}, rows=50)
ENDS = {
    "selection_rate": {"high": ["north", 0.4], "low": ["south", 0.28], "difference": [0.12, 0.05, 0.19]},
    "precision": {"high": ["south", 0.9], "low": ["north", 0.6], "difference": [0.3, None, None]},
}


def test_parity_is_judged_by_the_two_groups_that_are_furthest_apart():
    assert parity(FAIR, evidence(fairness={"depot": ENDS})) == (
        Decision(
            "parity: selection rate at most 0.1 apart between values of depot",
            False,
            "0.1200 (0.0500 to 0.1900) apart: 0.4000 for north, 0.2800 for south",
        ),
        Decision(
            "parity: precision at most 0.3 apart between values of depot",
            True,
            "0.3000 (no interval) apart: 0.9000 for south, 0.6000 for north",
        ),
    )


def test_groups_of_which_nothing_can_be_said_prove_no_parity():
    assert [(d.passed, d.why) for d in parity(FAIR, evidence(fairness={"depot": {}}))] == [
        (False, "fewer than two values of depot have 50 test rows and the rate")
    ] * 2
