"""`candidates: auto`: for each task a stated portfolio of candidates with ranges, from the plain to the strong.

A conf says `auto` where nobody knows yet what suits the data. What it stands
for is part of the conf's definition: a release that changes it trains anew.
"""

from typing import Any

Options = dict[str, Any]

_PENALTY: Options = {"regularization": {"low": 1e-6, "high": 0.1, "log": True}}
_TREES: Options = {
    "kind": "xgboost",
    "rounds": [50, 400],
    "depth": [3, 9],
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
}
_FOREST: Options = {"kind": "random_forest", "trees": [20, 100], "depth": [4, 12]}
_CLUSTERS: Options = {"k": [2, 12]}
PORTFOLIO: dict[str, tuple[Options, ...]] = {
    "binary": ({"kind": "logistic_regression", **_PENALTY}, _FOREST, _TREES),
    "multiclass": ({"kind": "logistic_regression", **_PENALTY}, _FOREST, _TREES),
    "regression": ({"kind": "linear_regression", **_PENALTY}, _FOREST, _TREES),
    "forecasting": ({"kind": "linear_regression", **_PENALTY}, _FOREST, _TREES),
    "clustering": ({"kind": "kmeans", **_CLUSTERS}, {"kind": "bisecting_kmeans", **_CLUSTERS}),
    "recommendation": ({"kind": "als", "rank": [4, 64], "regularization": {"low": 0.01, "high": 1.0, "log": True}},),
    "anomaly": ({"kind": "kmeans", **_CLUSTERS}, {"kind": "gaussian_mixture", "k": [2, 5]}),
}


def entered(given: object, task: object) -> object:
    """What `candidates` stands for: itself, or the task's portfolio for `auto`; lists as strict tuples.

    Errors: ValueError for an empty list; a least length would call a list empty of which each candidate is flawed.
    """
    if given in ([], ()):
        raise ValueError("is empty; it needs at least one")
    if given == "auto" and task in PORTFOLIO:
        return PORTFOLIO[str(task)]
    return tuple(given) if isinstance(given, list) else given
