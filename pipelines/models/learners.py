"""The learners: how each kind of candidate becomes stages of Spark ML, over the shared preparation.

One line of LEARNERS says what shape of features a kind wants, which stages it
is, and what it says of the weight of each place of the vector. To add one: a
spec in spec/candidate.py, a function of a few lines here, a line in LEARNERS.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.ml import Estimator, PipelineModel, Transformer, classification, clustering, recommendation, regression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.deep.estimator import NetEstimator
from pipelines.errors import DataError, SpecError
from pipelines.models import own, pairs, words
from pipelines.models.base import SEED, Asked, Block, Fitted, Inputs, Shape, shares
from pipelines.models.preparation import Prepared, prepare
from pipelines.spec import Candidate, ImageNet, Isotonic, Lda, Own, Survival
from pipelines.spec.task import FEATURES, PREDICTION, PROBABILITY, RAW, TARGET

Stages = Sequence["Estimator[Any] | _Likeliest | _Checkpointed | own.Factory"]
Weights = Callable[[Any], Sequence[float]]  # of the fitted first stage: one for each place of the vector
LEAST = {"poisson": "0 or greater", "gamma": "greater than 0", "survival": "greater than 0"}  # of a label
OVER = "__over"
STEPS_A_CHECKPOINT = 3
FEWEST_BINS = 32  # Spark's own number; a category needs as many as it has values
NUMBER: dict[str, Any] = {"labelCol": TARGET, "featuresCol": FEATURES, "predictionCol": PREDICTION}
CLUSTER: dict[str, Any] = {"featuresCol": FEATURES, "predictionCol": PREDICTION, "seed": SEED}
CLASS: dict[str, Any] = {**NUMBER, "probabilityCol": PROBABILITY, "rawPredictionCol": RAW}


@dataclass(frozen=True)
class Learner:
    """What a kind of candidate is."""

    shape: Shape
    stages: Callable[[Any, Asked, Prepared], Stages]
    weights: Weights = lambda fitted: []


def fit(candidate: Candidate, train: DataFrame, inputs: Inputs, asked: Asked) -> Fitted:
    """A pipeline fitted on rows that have TARGET. Cost: two small aggregates, then the learner's own passes.

    Errors: DataError where the rows are none that the candidate can learn.
    """
    learner = LEARNERS[candidate.kind]
    _fitting(candidate, train)
    train = _marked(train, asked.observed) if isinstance(candidate, Survival) else train
    prepared = _prepared(candidate, train, inputs, asked)
    rows, fitted = prepared.train, []
    for stage in learner.stages(candidate, asked, prepared):
        fitted.append(stage.fit(rows))
        rows = fitted[-1].transform(rows)
    stages: list[Transformer] = [*prepared.stages, *fitted, *asked.closing]
    weights = learner.weights(fitted[0])
    told = getattr(fitted[0], "told", {})
    return Fitted(PipelineModel(stages), _importance(weights, prepared), prepared.left_out, prepared.blocks, told)


def _prepared(candidate: Candidate, train: DataFrame, inputs: Inputs, asked: Asked) -> Prepared:
    """What the candidate wants of the rows: one vector of all features, or a few of them as they are."""
    shape = candidate.shape if isinstance(candidate, Own) else LEARNERS[candidate.kind].shape
    if shape == "pairs":
        return pairs.prepare(train, asked.pair)
    if isinstance(candidate, Lda):
        return words.prepare(train, candidate.feature, candidate.words, candidate.min_rows)
    if isinstance(candidate, ImageNet):
        return _pictured(candidate, train, inputs)
    return prepare(train, _seen(candidate, inputs), shape, asked)


def _pictured(candidate: ImageNet, train: DataFrame, inputs: Inputs) -> Prepared:
    """Nothing is prepared: who trains decodes. Errors: SpecError where the feature is no column of pictures."""
    if candidate.feature not in inputs.pictures:
        raise SpecError(f"image_net: feature {candidate.feature} is no binary column of pictures")
    return Prepared((), (Block(candidate.feature, candidate.feature),), (), train)


def _seen(candidate: Candidate, inputs: Inputs) -> Inputs:
    """The features that a candidate wants: all but pictures, or the one that it names."""
    if not isinstance(candidate, Isotonic):
        return inputs.only(set(inputs.columns) - set(inputs.pictures))
    if candidate.feature not in inputs.numbers:
        raise SpecError(f"isotonic: feature {candidate.feature} is no number")
    return inputs.only([candidate.feature])


def _fitting(candidate: Candidate, train: DataFrame) -> None:
    """Errors: DataError where a label does not belong to the family of distributions that the candidate names."""
    family = "survival" if isinstance(candidate, Survival) else getattr(candidate, "family", "gaussian")
    least = train.agg(F.min(TARGET)).first()[0] if family in LEAST else 0.0  # type: ignore[index]
    if least < 0 or (family in ("gamma", "survival") and least == 0):
        raise DataError(f"{candidate.kind}: a label of family {family} is {LEAST[family]}; there is {least:g}")


def _marked(train: DataFrame, observed: str) -> DataFrame:
    """1 where the time of a row is over, as Spark wants it; where nobody says, it goes on."""
    over = F.coalesce(F.col(observed), F.lit(False)) if observed else F.lit(True)
    return train.withColumn(OVER, over.cast("double"))


def _importance(weights: Sequence[float], prepared: Prepared) -> list[tuple[str, float]]:
    """Of a feature, the sum over its places; of none, where the learner says nothing."""
    found: dict[str, float] = {}
    at = 0
    for block in prepared.blocks if len(weights) else ():
        found[block.feature] = found.get(block.feature, 0.0) + float(sum(weights[at : at + block.width]))
        at += block.width
    return shares(found)


def _logistic(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    return [
        classification.LogisticRegression(
            **CLASS,
            regParam=spec.regularization,
            elasticNetParam=spec.elastic_net,
            maxIter=spec.iterations,
            standardization=False,
            family="binomial" if asked.classes == 2 else "multinomial",
        )
    ]


def _linear(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    return [
        regression.LinearRegression(
            **NUMBER,
            regParam=spec.regularization,
            elasticNetParam=spec.elastic_net,
            maxIter=spec.iterations,
            standardization=False,
        )
    ]


def _generalized(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    link = {"link": spec.link} if spec.link else {}
    return [
        regression.GeneralizedLinearRegression(
            **NUMBER, family=spec.family, **link, regParam=spec.regularization, maxIter=spec.iterations
        )
    ]


def _tree(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    options = {"maxDepth": spec.depth, "minInstancesPerNode": spec.min_rows, "maxBins": _bins(prepared), "seed": SEED}
    if asked.classes:
        return [classification.DecisionTreeClassifier(**CLASS, **options)]
    return [regression.DecisionTreeRegressor(**NUMBER, **options)]


def _forest(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    options = {"maxDepth": spec.depth, "minInstancesPerNode": spec.min_rows, "maxBins": _bins(prepared), "seed": SEED}
    if asked.classes:
        return [classification.RandomForestClassifier(**CLASS, **options, numTrees=spec.trees)]
    return [regression.RandomForestRegressor(**NUMBER, **options, numTrees=spec.trees)]


def _gbt(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    options = {"maxDepth": spec.depth, "maxIter": spec.rounds, "stepSize": spec.learning_rate, "seed": SEED}
    if asked.classes:
        trees = classification.GBTClassifier(**NUMBER, **options, maxBins=_bins(prepared))
        return [trees.setProbabilityCol(PROBABILITY).setRawPredictionCol(RAW)]
    return [regression.GBTRegressor(**NUMBER, **options, maxBins=_bins(prepared))]


def _bins(prepared: Prepared) -> int:
    return max(FEWEST_BINS, *(block.values for block in prepared.blocks))


def _svc(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    """A margin, and a logistic regression of the label on it (Platt 1999), on the training rows as well."""
    margin = {**NUMBER, "predictionCol": "__side", "rawPredictionCol": "__margin"}
    machine = classification.LinearSVC(
        **margin, regParam=spec.regularization, maxIter=spec.iterations, standardization=False
    )
    scale = classification.LogisticRegression(**{**CLASS, "featuresCol": "__margin"}, regParam=1e-6)
    return [machine, scale]


def _bayes(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    return [classification.NaiveBayes(**CLASS, modelType="gaussian")]


def _machines(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    options = {
        "factorSize": spec.factors, "regParam": spec.regularization, "maxIter": spec.iterations,
        "stepSize": spec.step, "seed": SEED,
    }  # fmt: skip
    if asked.classes:
        return [classification.FMClassifier(**CLASS, **options)]
    return [regression.FMRegressor(**NUMBER, **options)]


def _mlp(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    layers = [prepared.width, *spec.hidden, asked.classes]
    return [classification.MultilayerPerceptronClassifier(**CLASS, layers=layers, maxIter=spec.iterations, seed=SEED)]


def _isotonic(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    return [regression.IsotonicRegression(**NUMBER, featureIndex=0, isotonic=spec.rising)]


def _survival(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    return [regression.AFTSurvivalRegression(**NUMBER, censorCol=OVER, maxIter=spec.iterations)]


def _xgboost(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    """One barrier task a worker."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from xgboost.spark import SparkXGBClassifier, SparkXGBRegressor

    plain = all(block.width == 1 for block in prepared.blocks)  # a list of columns is quicker than a vector
    options = {
        "features_col": [b.column for b in prepared.blocks] if plain else FEATURES,
        "label_col": TARGET, "prediction_col": PREDICTION,
        "num_workers": spec.workers, "n_estimators": spec.rounds, "max_depth": spec.depth,
        "learning_rate": spec.learning_rate, "tree_method": "hist", "random_state": SEED, "verbosity": 0,
        "verbose": False,
    }  # fmt: skip
    if asked.classes:
        return [SparkXGBClassifier(**options, probability_col=PROBABILITY, raw_prediction_col=RAW)]
    return [SparkXGBRegressor(**options)]


def _net(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    """Indexes become embeddings, all else is a number."""
    places = {name: b.values for b in prepared.blocks for name in _places(b)}
    return [NetEstimator(spec, places, asked.classes, SEED, asked.scratch, asked.extensions)]


def _places(block: Block) -> list[str]:
    """A number goes by its feature, what else a feature fills by the column and where in it."""
    if block.column == f"__v_{block.feature}" and block.width == 1 and not block.values:
        return [block.feature]
    return [f"{block.column}[{i}]" for i in range(block.width)]


def _image(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    return [NetEstimator(spec, {}, asked.classes, SEED, asked.scratch, asked.extensions)]


def _own(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    return [own.Factory(spec, CLASS if asked.classes else NUMBER, _bins(prepared), asked.extensions)]


def _kmeans(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    return [clustering.KMeans(**CLUSTER, k=spec.k, maxIter=spec.iterations)]


def _bisecting(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    options = {"k": spec.k, "maxIter": spec.iterations, "minDivisibleClusterSize": float(spec.min_rows)}
    return [clustering.BisectingKMeans(**CLUSTER, **options)]


def _mixture(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    options = {**CLUSTER, "probabilityCol": PROBABILITY, "k": spec.k, "maxIter": spec.iterations, "tol": 1e-3}
    return [_Likeliest([clustering.GaussianMixture(**{**options, "seed": SEED + i}) for i in range(spec.starts)])]


def _topics(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    steps = {
        "subsamplingRate": 1.0,
        "learningOffset": 1.0,
        "learningDecay": 0.51,
    }  # each looks at all rows, so it may be long
    options = {"k": spec.k, "maxIter": spec.iterations, "seed": SEED, **steps}
    return [clustering.LDA(featuresCol=FEATURES, topicDistributionCol=PROBABILITY, **options)]


def _als(spec: Any, asked: Asked, prepared: Prepared) -> Stages:
    """Each step hangs on the one before: without checkpoints ten of them are deeper than Java's stack."""
    user, item = (f"__i_{column}" for column in asked.pair)
    options: dict[str, Any] = {"rank": spec.rank, "regParam": spec.regularization, "maxIter": spec.iterations}
    options |= {"seed": SEED, "coldStartStrategy": "nan", "checkpointInterval": STEPS_A_CHECKPOINT}
    return [_Checkpointed(recommendation.ALS(userCol=user, itemCol=item, ratingCol=TARGET, **options), asked.scratch)]


@dataclass(frozen=True)
class _Checkpointed:
    """A learner of many steps, with a folder for those in between; who gave the folder removes it."""

    learner: recommendation.ALS
    scratch: str

    def fit(self, rows: DataFrame) -> recommendation.ALSModel:
        """As the learner does."""
        rows.sparkSession.sparkContext.setCheckpointDir(self.scratch)
        return self.learner.fit(rows)


@dataclass(frozen=True)
class _Likeliest:
    """Of mixtures that begin at random the one that ends best: a single one often ends where nobody would."""

    starts: Sequence[clustering.GaussianMixture]

    def fit(self, rows: DataFrame) -> clustering.GaussianMixtureModel:
        """Each in turn; of equals the first."""
        return max((start.fit(rows) for start in self.starts), key=lambda fitted: fitted.summary.logLikelihood)


def _coefficients(fitted: Any) -> Sequence[float]:
    """Their size; of several classes, the sum over the classes."""
    several = getattr(fitted, "numClasses", 2) > 2
    found = fitted.coefficientMatrix.toArray() if several else [fitted.coefficients.toArray()]
    return [float(w) for w in np.abs(found).sum(axis=0)]


def _impurity(fitted: Any) -> Sequence[float]:
    return [float(w) for w in fitted.featureImportances.toArray()]


def _pairwise(fitted: Any) -> Sequence[float]:
    return [float(w) for w in np.abs(fitted.linear.toArray())]


def _centres(fitted: Any) -> Sequence[float]:
    """How far the clusters' centres lie apart along each place: the variance between them."""
    return [float(v) for v in np.var(np.stack(fitted.clusterCenters()), axis=0)]


def _means(fitted: Any) -> Sequence[float]:
    means = [row["mean"].toArray() for row in fitted.gaussiansDF.select("mean").collect()]
    return [float(v) for v in np.var(np.stack(means), axis=0)]


def _gain(fitted: Any) -> Sequence[float]:
    """Total gain of the splits on each feature."""
    booster = fitted.get_booster()
    gains = booster.get_score(importance_type="total_gain")
    names = booster.feature_names or [f"f{i}" for i in range(booster.num_features())]
    return [float(gains.get(name, 0.0)) for name in names]


LEARNERS: dict[str, Learner] = {
    "logistic_regression": Learner("linear", _logistic, _coefficients),
    "linear_regression": Learner("linear", _linear, _coefficients),
    "generalized_linear_regression": Learner("linear", _generalized, _coefficients),
    "decision_tree": Learner("trees", _tree, _impurity),
    "random_forest": Learner("trees", _forest, _impurity),
    "gbt": Learner("trees", _gbt, _impurity),
    "linear_svc": Learner("linear", _svc, _coefficients),
    "naive_bayes": Learner("linear", _bayes),
    "factorization_machines": Learner("linear", _machines, _pairwise),
    "mlp": Learner("linear", _mlp),
    "isotonic": Learner("trees", _isotonic),
    "survival": Learner("linear", _survival, _coefficients),
    "xgboost": Learner("boosted", _xgboost, _gain),
    "tabular_net": Learner("net", _net),
    "image_net": Learner("pictures", _image),
    "own": Learner("linear", _own, own.weights),
    "kmeans": Learner("linear", _kmeans, _centres),
    "bisecting_kmeans": Learner("linear", _bisecting, _centres),
    "gaussian_mixture": Learner("linear", _mixture, _means),
    "lda": Learner("words", _topics),
    "als": Learner("pairs", _als),
}
