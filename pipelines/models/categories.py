"""Categories and texts on their way into the vector: by index, a place for each value, hash, mean label, words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.ml import Transformer
from pyspark.ml.feature import (
    IDF,
    FeatureHasher,
    HashingTF,
    OneHotEncoder,
    RegexTokenizer,
    StringIndexer,
    StringIndexerModel,
    TargetEncoder,
)
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.errors import SpecError
from pipelines.models.base import Asked, Block, Inputs, Shape
from pipelines.spec import prepare as how
from pipelines.spec.task import TARGET

FOLDS = 5  # of the training rows, by the hash of their key
MOST_INDEXED = 1_000  # values of a category that a tree can split


@dataclass(frozen=True)
class Fitted:
    """Stages, what they fill, and the training rows with it."""

    stages: list[Transformer]
    blocks: list[Block]
    train: DataFrame


def typed(inputs: Inputs) -> dict[str, str]:
    """Categories as text that is never null; texts as they are, none as an empty one."""
    made = {f"__c_{c}": f"coalesce(CAST(`{c}` AS STRING), '(missing)')" for c in inputs.categories}
    return made | {f"__t_{c}": f"coalesce(`{c}`, '')" for c in inputs.texts}


def fit(df: DataFrame, inputs: Inputs, shape: Shape) -> Fitted:
    """Everything that is no number. Cost: one aggregate for all indexes, one for each text."""
    plain = how.OneHot(kind="one_hot") if shape == "linear" else how.Index(kind="index")
    asked = {c: inputs.how[c] for c in inputs.categories} | dict.fromkeys(inputs.quantiles, plain)
    stages: list[Transformer] = []
    blocks: list[Block] = []
    indexed = [c for c, each in asked.items() if not isinstance(each, how.Hashed)]
    if indexed:
        places = indexer(indexed).fit(df)
        made, blocks = _encoded(df, places, asked, indexed, shape)
        stages += [places, *made]
    for c, each in asked.items():
        if isinstance(each, how.Hashed):
            stages.append(FeatureHasher(inputCols=[f"__c_{c}"], outputCol=f"__h_{c}", numFeatures=each.buckets))
            blocks.append(Block(c, f"__h_{c}", each.buckets))
    for c in inputs.texts:
        text = inputs.how[c]
        assert isinstance(text, how.Text)  # no column is one unless said
        stages += _words(df, c, text)
        blocks.append(Block(c, f"__w_{c}", text.buckets))
    for stage in stages:
        df = stage.transform(df)
    return Fitted(stages, blocks, df)


def indexer(columns: Sequence[str]) -> StringIndexer:
    """By falling frequency; one not seen in training gets an index of its own."""
    return StringIndexer(
        inputCols=[f"__c_{c}" for c in columns],
        outputCols=[f"__i_{c}" for c in columns],
        handleInvalid="keep",
        stringOrderType="frequencyDesc",
    )


def _encoded(
    df: DataFrame, indexer: StringIndexerModel, asked: dict[str, Any], columns: Sequence[str], shape: Shape
) -> tuple[list[Transformer], list[Block]]:
    """What becomes of the indexes."""
    values = {c: len(labels) + 1 for c, labels in zip(columns, indexer.labelsArray, strict=True)}
    indexed = indexer.transform(df)
    stages: list[Transformer] = []
    blocks: list[Block] = []
    hot = [c for c in columns if isinstance(asked[c], how.OneHot)]
    if hot:
        encoder = OneHotEncoder(
            inputCols=[f"__i_{c}" for c in hot],
            outputCols=[f"__h_{c}" for c in hot],
            handleInvalid="keep",
            dropLast=True,
        )
        stages.append(encoder.fit(indexed))
        blocks += [Block(c, f"__h_{c}", values[c]) for c in hot]
    for c in columns:
        if isinstance(asked[c], how.MeanLabel):
            stages.append(means(c, asked[c].smoothing).fit(indexed))
            blocks.append(Block(c, f"__e_{c}"))
        elif isinstance(asked[c], how.Index):
            blocks.append(Block(c, f"__i_{c}", values=_few(c, values[c], shape)))
    return stages, blocks


def means(column: str, smoothing: float) -> TargetEncoder:
    return TargetEncoder(
        inputCols=[f"__i_{column}"],
        outputCols=[f"__e_{column}"],
        labelCol=TARGET,
        targetType="continuous",
        smoothing=smoothing,
        handleInvalid="keep",
    )


def _few(column: str, values: int, shape: Shape) -> int:
    if shape == "trees" and values > MOST_INDEXED:
        raise SpecError(
            f"prepare.{column}: kind: index of {values:,} values; a tree splits at most {MOST_INDEXED:,}: "
            "take kind: target or hash"
        )
    return values


def _words(df: DataFrame, column: str, asked: how.Text) -> list[Transformer]:
    split = RegexTokenizer(inputCol=f"__t_{column}", outputCol=f"__s_{column}", pattern=r"\W+")
    count = HashingTF(inputCol=f"__s_{column}", outputCol=f"__f_{column}", numFeatures=asked.buckets)
    weigh = IDF(inputCol=f"__f_{column}", outputCol=f"__w_{column}")
    return [split, count, weigh.fit(count.transform(split.transform(df)))]


def out_of_fold(train: DataFrame, inputs: Inputs, asked: Asked) -> DataFrame:
    """Training rows whose mean labels come of the other folds alone, so that no row is told its own label.

    Rows keep their order and partitions. Cost: one aggregate a column, its values times folds to the driver.
    """
    keys = asked.keys or inputs.columns
    for c, each in inputs.how.items():
        if isinstance(each, how.MeanLabel) and c in inputs.categories:
            train = _other_folds(train.withColumn("__fold", F.pmod(F.xxhash64(*keys), F.lit(FOLDS))), c, each.smoothing)
    return train.drop("__fold")


def _other_folds(train: DataFrame, column: str, smoothing: float) -> DataFrame:
    value = f"__c_{column}"
    sums = train.groupBy(value, "__fold").agg(F.sum(TARGET).alias("s"), F.count(TARGET).alias("n")).collect()
    whole = _summed(sums, lambda r: None)[None]
    by_fold, by_value = _summed(sums, lambda r: r["__fold"]), _summed(sums, lambda r: r[value])
    made = []
    for row in sums:
        s, n = (by_value[row[value]][i] - row["sn"[i]] for i in (0, 1))
        rest, rows = (whole[i] - by_fold[row["__fold"]][i] for i in (0, 1))
        prior = rest / rows if rows else whole[0] / whole[1]
        made.append((row[value], row["__fold"], (s + smoothing * prior) / (n + smoothing) if n + smoothing else prior))
    table = train.sparkSession.createDataFrame(made, f"`{value}` string, __fold bigint, __mean double")
    joined = train.join(F.broadcast(table), [value, "__fold"], "left")
    return joined.withColumn(f"__e_{column}", F.col("__mean")).drop("__mean")


def _summed(rows: Sequence[Any], by: Any) -> dict[Any, tuple[float, float]]:
    found: dict[Any, tuple[float, float]] = {}
    for row in sorted(rows, key=lambda r: (str(r[0]), r["__fold"])):  # one order of adding up
        s, n = found.get(by(row), (0.0, 0.0))
        found[by(row)] = s + row["s"], n + row["n"]
    return found
