"""XGBoost on Spark: boosted trees over indexed categories and numbers as they are, missing ones included.

Rows are dealt to the workers by the hash of the key and sorted there, so that
the same rows give the same trees on any cluster of the same number of workers.
"""

import warnings
from typing import Any

from pyspark.ml import Pipeline, PipelineModel

from pipelines.models.base import LABEL, SEED, Inputs, indexer, shares
from pipelines.spec import Candidate, Xgboost


def estimator(candidate: Candidate, inputs: Inputs) -> Pipeline:
    """Index, boost; one barrier task a worker."""
    assert isinstance(candidate, Xgboost)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from xgboost.spark import SparkXGBClassifier

    boost = SparkXGBClassifier(
        features_col=_columns(inputs),
        label_col=LABEL,
        num_workers=candidate.workers,
        n_estimators=candidate.rounds,
        max_depth=candidate.depth,
        learning_rate=candidate.learning_rate,
        tree_method="hist",
        random_state=SEED,
        verbosity=0,
        verbose=False,
    )
    return Pipeline(stages=[indexer(inputs), boost] if inputs.categories else [boost])


def importance(fitted: PipelineModel, inputs: Inputs) -> list[tuple[str, float]]:
    """Total gain of the splits on each feature."""
    boosted: Any = fitted.stages[-1]
    gains = boosted.get_booster().get_score(importance_type="total_gain")
    names = [*inputs.categories, *inputs.numbers]
    return shares(
        {name: float(gains.get(f"f{i}", gains.get(_columns(inputs)[i], 0.0))) for i, name in enumerate(names)}
    )


def _columns(inputs: Inputs) -> list[str]:
    return [*(f"{c}_index" for c in inputs.categories), *inputs.numbers]
