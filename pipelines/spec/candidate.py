"""Candidates: the algorithms that may win, each with the few options that matter.

One class a `kind`; `tasks` says what it can learn. How each is fitted stands
in models/learners.py.
"""

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from pipelines.spec.base import Column, Name
from pipelines.spec.search import Searched
from pipelines.spec.task import Task

CLASSES: tuple[Task, ...] = ("binary", "multiclass")
NUMBERS: tuple[Task, ...] = ("regression", "forecasting")
CLUSTERS: tuple[Task, ...] = ("clustering",)
UNUSUAL: tuple[Task, ...] = ("anomaly",)
RATINGS: tuple[Task, ...] = ("recommendation",)

L2 = Annotated[float, Field(ge=0, le=1_000, description="L2 penalty")]
Iterations = Annotated[int, Field(gt=0, le=10_000, description="most steps")]
Depth = Annotated[int, Field(gt=0, le=16, description="deepest tree")]
K = Annotated[int, Field(ge=2, le=200, description="clusters")]
Param = Annotated[str, Field(pattern=r"^[A-Za-z]\w{0,62}$")]
MinRows = Annotated[int, Field(gt=0, le=1_000_000_000, description="fewest rows of a leaf")]


class Learned(Searched):
    """What every candidate says of itself."""

    tasks: ClassVar[tuple[Task, ...]]

    @classmethod
    def named(cls) -> str:
        """Its `kind`."""
        return str(get_args(cls.model_fields["kind"].annotation)[0])

    @property
    def foreign(self) -> bool:
        """True where code of a team's own trains it."""
        return False


class LogisticRegression(Learned):
    """Spark ML logistic regression, multinomial where there are more than two classes."""

    tasks: ClassVar[tuple[Task, ...]] = CLASSES
    SEARCHED = ("regularization", "elastic_net")
    kind: Literal["logistic_regression"]
    regularization: L2 = 1e-4
    elastic_net: float = Field(default=0.0, ge=0, le=1, description="share of L1 in the penalty")
    iterations: int = Field(default=50, gt=0, le=10_000, description="most L-BFGS steps")


class LinearRegression(Learned):
    """Least squares with an elastic net: a number as a weighted sum of features."""

    tasks: ClassVar[tuple[Task, ...]] = NUMBERS
    SEARCHED = ("regularization", "elastic_net")
    kind: Literal["linear_regression"]
    regularization: float = Field(default=1e-4, ge=0, le=1_000, description="penalty, L1 and L2 together")
    elastic_net: float = Field(default=0.0, ge=0, le=1, description="share of L1 in the penalty")
    iterations: Iterations = 100


class GeneralizedLinearRegression(Learned):
    """A number whose spread grows with it: counts (poisson), durations and amounts (gamma)."""

    tasks: ClassVar[tuple[Task, ...]] = NUMBERS
    SEARCHED = ("regularization",)
    kind: Literal["generalized_linear_regression"]
    family: Literal["gaussian", "poisson", "gamma"] = Field(default="gaussian", description="how the label spreads")
    link: Literal["identity", "log", "inverse", "sqrt"] | None = Field(
        default=None, description="of mean and features; the family's own, unless said: identity, log, inverse"
    )
    regularization: L2 = 1e-4
    iterations: Iterations = 25


class DecisionTree(Learned):
    """One tree: weaker than many, but a person can read it."""

    tasks: ClassVar[tuple[Task, ...]] = (*CLASSES, *NUMBERS)
    SEARCHED = ("depth", "min_rows")
    kind: Literal["decision_tree"]
    depth: Depth = 5
    min_rows: MinRows = 20


class RandomForest(Learned):
    """Many trees, each on other rows and features: hard to spoil by its options."""

    tasks: ClassVar[tuple[Task, ...]] = (*CLASSES, *NUMBERS)
    SEARCHED = ("trees", "depth", "min_rows")
    kind: Literal["random_forest"]
    trees: int = Field(default=50, gt=0, le=2_000, description="how many")
    depth: Depth = 8
    min_rows: MinRows = 5


class Gbt(Learned):
    """Spark's own gradient-boosted trees; xgboost is faster and knows missing values."""

    tasks: ClassVar[tuple[Task, ...]] = ("binary", *NUMBERS)
    SEARCHED = ("rounds", "depth", "learning_rate")
    kind: Literal["gbt"]
    rounds: int = Field(default=50, gt=0, le=2_000, description="boosting rounds")
    depth: Depth = 5
    learning_rate: float = Field(default=0.1, gt=0, le=1, description="how much of a round's correction is kept")


class LinearSvc(Learned):
    """A linear support vector machine; its margin becomes a probability by Platt scaling."""

    tasks: ClassVar[tuple[Task, ...]] = ("binary",)
    SEARCHED = ("regularization",)
    kind: Literal["linear_svc"]
    regularization: L2 = 1e-2
    iterations: Iterations = 50


class NaiveBayes(Learned):
    """Features as if independent, each normal within a class: the fastest, and badly calibrated."""

    tasks: ClassVar[tuple[Task, ...]] = CLASSES
    kind: Literal["naive_bayes"]


class FactorizationMachines(Learned):
    """A linear model with all pairs of features, each pair by a product of short vectors: for sparse categories."""

    tasks: ClassVar[tuple[Task, ...]] = ("binary", *NUMBERS)
    SEARCHED = ("factors", "regularization", "step")
    kind: Literal["factorization_machines"]
    factors: int = Field(default=4, gt=0, le=256, description="length of a feature's vector")
    regularization: L2 = 1e-4
    iterations: Iterations = 100
    step: float = Field(default=0.05, gt=0, le=10, description="of AdamW")


class Mlp(Learned):
    """A small neural network of sigmoid layers."""

    tasks: ClassVar[tuple[Task, ...]] = CLASSES
    kind: Literal["mlp"]
    hidden: tuple[Annotated[int, Field(gt=0, le=4_096)], ...] = Field(
        default=(16,), min_length=1, max_length=8, description="widths of the layers between features and classes"
    )
    iterations: Iterations = 100


class Isotonic(Learned):
    """A step function of one feature that only rises, or only falls."""

    tasks: ClassVar[tuple[Task, ...]] = NUMBERS
    kind: Literal["isotonic"]
    feature: Column = Field(description="the one feature that it sees, a number")
    rising: bool = Field(default=True, description="false: the label falls with the feature")


class Survival(Learned):
    """How long until something happens, by Weibull's law (accelerated failure time); learned also where it goes on."""

    tasks: ClassVar[tuple[Task, ...]] = ("regression",)
    kind: Literal["survival"]
    iterations: Iterations = 100


class Xgboost(Learned):
    """Gradient-boosted trees: XGBoost on Spark."""

    tasks: ClassVar[tuple[Task, ...]] = (*CLASSES, *NUMBERS)
    SEARCHED = ("rounds", "depth", "learning_rate")
    kind: Literal["xgboost"]
    rounds: int = Field(default=200, gt=0, le=10_000, description="boosting rounds")
    depth: int = Field(default=6, gt=0, le=16, description="deepest tree")
    learning_rate: float = Field(default=0.1, gt=0, le=1, description="how much of a round's correction is kept")
    workers: int = Field(default=1, gt=0, le=1_000, description="Spark tasks that train together; one is deterministic")


Hidden = Annotated[
    tuple[Annotated[int, Field(gt=0, le=8_192)], ...],
    Field(min_length=1, max_length=16, description="widths of the layers before the answer"),
]
Steps = Annotated[
    tuple[Column, ...], Field(min_length=3, max_length=64, description="features that are numbers, the oldest first")
]
Launcher = Literal["single", "horovod", "horovod_elastic", "torch_distributor"]
Ailment = Literal[
    "not_finite", "not_learning", "exploding_gradients", "vanishing_gradients", "dead_units", "overfitting",
    "class_imbalance", "rank_skew", "input_starvation",
]  # fmt: skip


class Trained(Learned):
    """What nets have in common: how they are trained."""

    tasks: ClassVar[tuple[Task, ...]] = (*CLASSES, *NUMBERS)
    SEARCHED = ("epochs", "batch", "learning_rate", "weight_decay", "dropout")
    hidden: Hidden = (256, 128)
    epochs: int = Field(default=5, gt=0, le=10_000, description="how often each row is seen")
    batch: int = Field(default=1_024, gt=0, le=10_000_000, description="rows of a step, of all processes together")
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="of AdamW; rises at first, then falls to 0")
    weight_decay: float = Field(default=1e-4, ge=0, le=10, description="of AdamW")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of units left out of a step")
    holdout: float = Field(
        default=0.05, ge=0, le=0.5, description="share of the rows that are watched, and not trained"
    )
    patience: int | None = Field(
        default=None, gt=0, le=10_000, description="epochs without a better one, after which the best one is taken"
    )
    launcher: Launcher = Field(default="single", description="who starts the processes; single: one, by the driver")
    processes: int = Field(default=1, gt=0, le=1_024, description="that train together, one a task of Spark")
    threads: int = Field(default=1, gt=0, le=256, description="of a process")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="of the layers' arithmetic")
    compression: Literal["none", "fp16"] = Field(default="none", description="of gradients between processes")
    stall_s: float = Field(
        default=120, ge=1, le=86_400, description="a process that makes no step for so long is ended"
    )
    stop_on: tuple[Ailment, ...] = Field(default=("not_finite",), description="what ends a training; all is told")
    pretrained: Name | None = Field(
        default=None,
        description="weights to begin with, by their name in `WEIGHTS` of a module of the target's `extensions`",
    )

    @model_validator(mode="after")
    def _crewed(self) -> Self:
        if self.launcher == "single" and self.processes > 1:
            raise ValueError(
                f"launcher: single is one process, got {self.processes}; take horovod or torch_distributor"
            )
        return self


class TabularNet(Trained):
    """A neural network over columns, each category as a short vector that it learns; on one machine or on executors."""

    kind: Literal["tabular_net"]
    wide: bool = Field(default=False, description="a linear model of the same features beside it")
    factors: int = Field(
        default=0, ge=0, le=256, description="all pairs of features beside it, by products of vectors so long; 0: none"
    )
    sequences: tuple[Steps, ...] = Field(
        default=(),
        max_length=64,
        description="numbers of the past, read in order; each has as many features: [[delay_3, delay_2, delay_1]]",
    )
    filters: int = Field(default=16, gt=0, le=1_024, description="of sequences, over three neighbours of each")
    module: Name | None = Field(default=None, description="a net of your own by its name, of the target's `extensions`")

    @model_validator(mode="after")
    def _of_one_make(self) -> Self:
        ours = next((name for name in ("wide", "factors", "sequences") if getattr(self, name)), "")
        if self.module and ours:
            raise ValueError(
                f"{ours} is of the net that comes with Lakeloom, and module says {self.module}; leave one out"
            )
        if self.pretrained and not self.module:
            raise ValueError("pretrained is for a `module` of your own, or for image_net: categories differ by table")
        return self

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        if len(lengths := {len(sequence) for sequence in self.sequences}) > 1:
            raise ValueError(f"sequences: one has {min(lengths)} steps, another {max(lengths)}; each needs as many")
        return self

    @property
    def foreign(self) -> bool:
        """By its module."""
        return self.module is not None


class ImageNet(Trained):
    """A convolutional network over one column of pictures, PNG or JPEG; each process decodes its own."""

    kind: Literal["image_net"]
    feature: Column = Field(description="the one feature that it sees, BINARY")
    size: int = Field(default=32, ge=4, le=512, description="pixels of each side, to which pictures are brought")
    channels: Literal[1, 3] = Field(default=1, description="1: shades of grey, 3: colours")
    filters: tuple[Annotated[int, Field(gt=0, le=1_024)], ...] = Field(
        default=(16, 32), min_length=1, max_length=8, description="of each step; a step halves the sides"
    )

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        if not self.size >> len(self.filters):
            raise ValueError(f"size: {self.size} is not to be halved {len(self.filters)} times; take fewer filters")
        return self

    @property
    def foreign(self) -> bool:
        """By what it begins with."""
        return self.pretrained is not None


class Own(Learned):
    """An estimator of Spark ML of your own; preparation, evaluation, gates and scoring are those of the others."""

    tasks: ClassVar[tuple[Task, ...]] = (*CLASSES, *NUMBERS)
    kind: Literal["own"]
    estimator: Name = Field(description="its name in `ESTIMATORS` of a module of the target's `extensions`")
    shape: Literal["linear", "trees"] = Field(
        default="linear", description="how features are prepared: standardised and one-hot, or plain and by index"
    )
    params: dict[Param, bool | int | float | str] = Field(default={}, description="what it is made with, by name")

    @property
    def foreign(self) -> bool:
        """Always."""
        return True


class Kmeans(Learned):
    """Clusters as balls around their means: each row belongs to the nearest; unusual is what is far from all."""

    tasks: ClassVar[tuple[Task, ...]] = (*CLUSTERS, *UNUSUAL)
    SEARCHED = ("k",)
    kind: Literal["kmeans"]
    k: K = 5
    iterations: Iterations = 50


class BisectingKmeans(Learned):
    """Clusters by halving the largest again and again: of like size more often than by kmeans, and quick for many."""

    tasks: ClassVar[tuple[Task, ...]] = CLUSTERS
    SEARCHED = ("k",)
    kind: Literal["bisecting_kmeans"]
    k: K = 5
    iterations: Iterations = 20
    min_rows: MinRows = 1


class GaussianMixture(Learned):
    """Clusters as normal distributions, each with a shape of its own; unusual is what is unlikely under all of them."""

    tasks: ClassVar[tuple[Task, ...]] = (*CLUSTERS, *UNUSUAL)
    SEARCHED = ("k",)
    kind: Literal["gaussian_mixture"]
    k: K = 3
    iterations: Iterations = 100
    starts: int = Field(default=5, gt=0, le=100, description="random beginnings; the likeliest of their ends stays")


class Lda(Learned):
    """Topics of a text by latent Dirichlet allocation: a topic is a set of words, a row a mixture of topics."""

    tasks: ClassVar[tuple[Task, ...]] = CLUSTERS
    SEARCHED = ("k",)
    kind: Literal["lda"]
    feature: Column = Field(description="the one feature that it reads, a text")
    k: K = 10
    iterations: Iterations = 50
    words: int = Field(default=10_000, gt=0, le=1_000_000, description="most words that it knows, the most frequent")
    min_rows: MinRows = 2


class Als(Learned):
    """Matrix factorization by alternating least squares: users and items as vectors whose product is the rating."""

    tasks: ClassVar[tuple[Task, ...]] = RATINGS
    SEARCHED = ("rank", "regularization")
    kind: Literal["als"]
    rank: int = Field(default=10, gt=0, le=500, description="length of the vectors")
    regularization: float = Field(default=0.1, ge=0, le=1_000, description="L2 penalty, times the ratings of each")
    iterations: Iterations = 10


KINDS: tuple[type[Learned], ...] = (
    LogisticRegression, LinearRegression, GeneralizedLinearRegression, DecisionTree, RandomForest, Gbt, LinearSvc,
    NaiveBayes, FactorizationMachines, Mlp, Isotonic, Survival, Xgboost, TabularNet, ImageNet, Own, Kmeans,
    BisectingKmeans, GaussianMixture, Lda, Als,
)  # fmt: skip
Candidate = Annotated[
    LogisticRegression | LinearRegression | GeneralizedLinearRegression | DecisionTree | RandomForest | Gbt | LinearSvc
    | NaiveBayes | FactorizationMachines | Mlp | Isotonic | Survival | Xgboost | TabularNet | ImageNet | Own | Kmeans
    | BisectingKmeans | GaussianMixture | Lda | Als,
    Field(discriminator="kind"),
]  # fmt: skip


def learners(task: str) -> tuple[str, ...]:
    """The kinds that can learn a task."""
    return tuple(kind.named() for kind in KINDS if task in kind.tasks)
