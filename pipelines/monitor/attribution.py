"""Whether a model's answers hang on the same features as at training. Pure.

NDCG (Jarvelin, Kekalainen 2002): the features in the window's order, each worth its weight at training, later ones
discounted by a logarithm, over the same in the order of training. 1: the order is the same; a swap of two that
weigh much costs much, of two that weigh nothing, nothing.
"""

from collections.abc import Mapping, Sequence
from math import log2

from pipelines.monitor.bins import Json

Weights = Mapping[str, float]  # feature -> mean size of its part in the answers
SHOWN = 8


def compared(before: Weights, now: Weights) -> dict[str, Json]:
    """NDCG, and the features that weigh most on either side with their shares: name, at training, now."""
    shares = [_shares(side) for side in (before, now)]
    first = sorted({*before, *now}, key=lambda f: (-max(s.get(f, 0.0) for s in shares), f))[:SHOWN]
    features = [[f, *(round(s.get(f, 0.0), 4) for s in shares)] for f in first]
    return {"ndcg": round(ndcg(before, now), 6), "features": features}


def ndcg(before: Weights, now: Weights) -> float:
    """1 where no feature weighed anything at training."""
    best = _gain(before, sorted(before, key=lambda f: (-before[f], f)))
    found = _gain(before, sorted(before, key=lambda f: (-now.get(f, 0.0), f)))
    return found / best if best else 1.0


def _gain(weights: Weights, order: Sequence[str]) -> float:
    return sum(weights[feature] / log2(place + 2) for place, feature in enumerate(order))


def _shares(weights: Weights) -> dict[str, float]:
    whole = sum(weights.values())
    return {feature: weight / whole if whole else 0.0 for feature, weight in weights.items()}
