"""What each feature adds to an answer, so that the parts sum to the whole: SHAP values by what was written of a model.

No Spark, no JVM. XGBoost computes them of trees, exactly (TreeSHAP; Lundberg and others 2020). Of a linear model they
have a closed form, coefficient times (value - mean), where features are taken as independent. The answer is the one
before a link: log odds of a classifier, the number of a regression; of one tree or a forest the probability of yes, or
of each class.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zlib import compress, decompress

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import PlatformError

SAID, VECTOR = "lakeloom.shap", "__vector"  # of a graph: in its metadata; the output that it holds for
CONTRIBUTIONS, FEATURE, PART = "contributions", "feature", "part"  # of an answer: a list of features and their parts
Matrix = NDArray[np.float64]
Json = Any  # what json.loads gives back


@dataclass(frozen=True)
class Contributions:
    """values: shape (rows, outputs, features); base: (rows, outputs). A row's values and its base sum to its answer."""

    features: tuple[str, ...]
    values: Matrix
    base: Matrix

    @property
    def mean_size(self) -> list[tuple[str, float]]:
        """The mean size of a feature's part, over rows and outputs; the greatest first."""
        found = zip(self.features, np.abs(self.values).mean(axis=(0, 1)), strict=True)
        return sorted(((name, float(size)) for name, size in found), key=lambda pair: (-pair[1], pair[0]))

    def top(self, most: int) -> list[list[dict[str, Json]]]:
        """Of each row those features that weigh most in its first output, the greatest first."""
        parts = self.values[:, 0, :]
        order = np.argsort(-np.abs(parts), axis=1, kind="stable")[:, :most]
        return [
            [{FEATURE: self.features[i], PART: float(row[i])} for i in chosen]
            for row, chosen in zip(parts, order, strict=True)
        ]


@dataclass(frozen=True)
class Linear:
    """mean: of the rows that an answer is compared with."""

    weights: Matrix
    mean: Matrix
    intercept: float

    def parts(self, vectors: Matrix) -> tuple[Matrix, Matrix]:
        """Of each row and output the part of each place, and the base."""
        values = (vectors - self.mean) * self.weights
        base = np.full((len(vectors), 1), float(self.mean @ self.weights) + self.intercept)
        return values[:, None, :], base

    def as_json(self) -> Json:
        """As a graph says it."""
        return {"weights": self.weights.tolist(), "mean": self.mean.tolist(), "intercept": self.intercept}


@dataclass(frozen=True)
class Trees:
    """model: a booster, as XGBoost's own JSON.

    splits: of a place, in order: numbers go in as their ranks among them (XGBoost compares in single precision, Spark
    in double; x is at most the k-th where k splits or fewer lie below x). A place without goes in as it is.
    """

    model: str
    splits: Mapping[int, Matrix]

    @cached_property
    def booster(self) -> Any:
        """Opened, for one thread. Errors: PlatformError where XGBoost is not there."""
        try:
            from xgboost import Booster
        except ModuleNotFoundError as lacking:
            raise PlatformError("parts of what trees answer are XGBoost's to tell; install xgboost-cpu") from lacking
        found = Booster({"nthread": 1})
        found.load_model(bytearray(self.model, "utf-8"))
        return found

    def parts(self, vectors: Matrix) -> tuple[Matrix, Matrix]:
        """As of a linear model. Cost: as XGBoost's pred_contribs."""
        booster = self.booster
        from xgboost import DMatrix

        kinds = booster.feature_types
        asked = DMatrix(self._ranks(vectors), feature_types=kinds, enable_categorical="c" in (kinds or ()), nthread=1)
        found = np.asarray(booster.predict(asked, pred_contribs=True, validate_features=False), dtype=np.float64)
        found = found[:, None, :] if found.ndim == 2 else found
        return found[:, :, :-1], found[:, :, -1]

    def _ranks(self, vectors: Matrix) -> Matrix:
        """How many splits lie below a number; below NaN all of them, so that it is never a yes."""
        ranks = vectors.copy() if self.splits else vectors
        for place, at in self.splits.items():
            ranks[:, place] = np.searchsorted(at, vectors[:, place])
        return ranks

    def as_json(self) -> Json:
        """As a graph says it."""
        splits = {str(place): at.tolist() for place, at in self.splits.items()}
        return {"model": b64encode(compress(self.model.encode())).decode(), "splits": splits}


@dataclass(frozen=True)
class Shap:
    """A model, and what stands where in the vector that it reads: each feature with the places that it takes."""

    blocks: tuple[tuple[str, int], ...]
    model: Linear | Trees

    @classmethod
    def said_by(cls, said: Mapping[str, str]) -> "Shap | None":
        """Of what is written in a graph; None where nothing is."""
        if SAID not in said:
            return None
        found = json.loads(said[SAID])
        blocks = tuple((name, width) for name, width in found["blocks"])
        if "linear" in found:
            of = found["linear"]
            return cls(blocks, Linear(np.array(of["weights"]), np.array(of["mean"]), of["intercept"]))
        splits = {int(place): np.array(at) for place, at in found["trees"]["splits"].items()}
        return cls(blocks, Trees(decompress(b64decode(found["trees"]["model"])).decode(), splits))

    def text(self) -> str:
        """As it is written in a graph."""
        kind = "linear" if isinstance(self.model, Linear) else "trees"
        return json.dumps({"blocks": self.blocks, kind: self.model.as_json()})

    def of(self, vectors: Matrix) -> Contributions:
        """Rows by places in; of a feature, the sum over its places."""
        features = tuple(dict.fromkeys(name for name, _ in self.blocks))
        of = [features.index(name) for name, width in self.blocks for _ in range(width)]
        belongs = np.eye(len(features))[of]  # place x feature: 1 where the place is the feature's
        values, base = self.model.parts(vectors)
        return Contributions(features, values @ belongs, base)
