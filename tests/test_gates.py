"""Gates: evidence in, promote or refuse with reasons out."""

import pytest

from pipelines.gates import Decision, Evidence, decide
from pipelines.spec import Gate

LEAST = Gate(metric="roc_auc", min=0.7)
BASELINE = Gate(metric="roc_auc", versus="baseline")
CHAMPION = Gate(metric="roc_auc", versus="champion", confidence=0.9)


def evidence(value: float = 0.7, low: float = 0.68, baseline: float = 0.5, versus=None) -> dict[str, Evidence]:
    return {"roc_auc": Evidence(value, low, 0.72, baseline, versus)}


@pytest.mark.parametrize(
    ("gate", "found", "expected"),
    [
        (LEAST, evidence(0.7), Decision("roc_auc at least 0.7", True, "0.7000 (0.6800 to 0.7200)")),
        (LEAST, evidence(0.6999), Decision("roc_auc at least 0.7", False, "0.6999 (0.6800 to 0.7200)")),
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
            CHAMPION,
            evidence(),
            Decision("roc_auc above the champion, 90% sure", True, "no champion yet: the first to pass becomes it"),
        ),
        (
            CHAMPION,
            evidence(versus=(True, 0.02, 0.0012)),
            Decision("roc_auc above the champion, 90% sure", True, "difference +0.0200, at least +0.0012"),
        ),
        (
            CHAMPION,
            evidence(versus=(False, 0.02, -0.003)),
            Decision("roc_auc above the champion, 90% sure", False, "difference +0.0200, at least -0.0030"),
        ),
    ],
)
def test_a_gate_says_whether_and_why(gate, found, expected):
    assert decide([gate], found) == (expected,)


def test_every_gate_is_decided_in_the_order_of_the_conf():
    found = {**evidence(0.6), "f1": Evidence(0.4, 0.3, 0.5, 0.2)}
    gates = [LEAST, Gate(metric="f1", min=0.3), CHAMPION]

    assert [d.passed for d in decide(gates, found)] == [False, True, True]


def test_no_gates_refuse_nothing():
    assert decide([], {}) == ()
