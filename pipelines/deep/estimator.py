"""The net as a stage of Spark ML: an estimator that lays rows down and has them trained, a model that scores.

Rows go to the ranks through a Delta table of floats that lies in a folder which
all machines see, named by what decides the weights: the same rows and options
find the same folder, and in it the checkpoints of a training that was cut off.
The model holds its weights itself; it is saved as Spark's metadata beside one
file, and scores with numpy where its rows are.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyspark.ml import Estimator, Model
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from safetensors.numpy import load

from pipelines import tables
from pipelines.deep import pictures, planning, pretrained
from pipelines.deep.design import INPUT, OUTPUT, Design, Matrix, answers, outputs
from pipelines.deep.job import Folder, Job, Json
from pipelines.deep.launch import launch
from pipelines.deep.loader import Deck
from pipelines.errors import DataError, SpecError
from pipelines.extensions import code
from pipelines.log import Transaction
from pipelines.onnx import Graph
from pipelines.spec.candidate import ImageNet, TabularNet, Trained
from pipelines.spec.task import FEATURES, PREDICTION, PROBABILITY, RAW, TARGET

MOST_PLACES = 4_096  # of a vector: each is a column of the table that ranks read
ROWS = "rows"  # the table in a training's folder
LABEL = "y"
DECIDES = {"hidden", "wide", "epochs", "batch", "learning_rate", "weight_decay", "dropout", "precision", "compression",
           "holdout", "patience", "stop_on"}  # fmt: skip


class NetEstimator(Estimator["NetModel"]):
    """places: of the vector by name, with the values of a category that stands there as an index, 0 of a number."""

    def __init__(
        self,
        spec: Trained,
        places: Mapping[str, int],
        classes: int,
        seed: int,
        place: str,
        extensions: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.spec, self.classes, self.seed, self.place = spec, classes, seed, place
        self.names, self.kinds = list(places), tuple(places.values())
        self.extensions = extensions

    def _fit(self, dataset: DataFrame) -> "NetModel":
        """Cost: an aggregate, a write of all rows, the training. Errors: as of `launch`; SpecError: too wide."""
        if len(self.kinds) > MOST_PLACES:
            raise SpecError(
                f"tabular_net: {len(self.kinds):,} places of a vector, the most is {MOST_PLACES:,}; prepare narrower"
            )
        seen = self._seen(dataset)
        design, begun = self.design(seen), self._begun()
        if begun:
            seen["pretrained"] = hashlib.sha256(begun).hexdigest()
        folder = Folder(f"{self.place or mkdtemp(prefix='lakeloom-net-')}/{self._name(design, seen)}")
        rows = _laid(dataset, design)
        path = f"{folder.path}/{ROWS}"
        version = tables.overwrite(rows, path, Transaction(path, 0)).version
        every = round(1 / self.spec.holdout) if self.spec.holdout else 0
        groups = planning.groups(path, version)
        deck = Deck(path, version, tuple(rows.columns), groups, every, self.seed, design.picture)
        sha256 = seen.get("pretrained", "")
        if sha256:
            folder.write(pretrained.FILE, begun)
        told, weights = launch(Job(deck, design, self.spec, self.seed, folder.path, self.extensions, sha256))
        if sha256:
            told["pretrained"] = {"name": self.spec.pretrained, "sha256": sha256}
        folder.remove(pretrained.FILE)
        folder.remove(ROWS)
        if not self.place:
            Folder(str(Path(folder.path).parent)).remove()
        return NetModel(design, weights, told)

    def _begun(self) -> bytes:
        """The weights that it begins with; none unless asked."""
        return pretrained.opened(self.spec.pretrained, self.extensions) if self.spec.pretrained else b""

    def _seen(self, rows: DataFrame) -> Json:
        """How many rows there are, a checksum of them in any order, mean and spread of the label. Cost: one scan."""
        feature = self.spec.feature if isinstance(self.spec, ImageNet) else ""
        mark = F.xxhash64(F.col(feature) if feature else vector_to_array(F.col(FEATURES)), TARGET)
        parts = (F.count(F.lit(1)), F.bit_xor(mark), F.avg(TARGET), F.stddev_pop(TARGET), F.count(TARGET))
        found = rows.agg(*[part.alias(f"_{i}") for i, part in enumerate(parts)]).first()
        assert found is not None
        count, mark_of_all, mean, spread, labelled = found
        if not count or labelled < count:
            raise DataError(f"{self.spec.named()}: {count - labelled:,} of {count:,} training rows have no label")
        return {"rows": count, "mark": mark_of_all, "mean": mean, "spread": spread}

    def design(self, seen: Json) -> Design:
        """Of the net for these rows. seen: mean and spread of a label that is a number."""
        goal = "regression" if not self.classes else "binary" if self.classes == 2 else "multiclass"
        scale = {"offset": seen["mean"], "scale": seen["spread"] or 1.0} if goal == "regression" else {}
        plain = Design(
            goal=cast(Any, goal),
            numbers=tuple(i for i, values in enumerate(self.kinds) if not values),
            categories=tuple((i, values) for i, values in enumerate(self.kinds) if values),
            hidden=self.spec.hidden,
            outputs=self.classes if goal == "multiclass" else 1,
            dropout=self.spec.dropout,
            **scale,
        )
        if isinstance(self.spec, ImageNet):
            sides = self.spec.channels, self.spec.size, self.spec.size
            return replace(plain, picture=sides, filters=self.spec.filters, feature=self.spec.feature)
        assert isinstance(self.spec, TabularNet)
        made = replace(plain, wide=self.spec.wide, factors=self.spec.factors, module=self.spec.module or "")
        if not self.spec.sequences:
            return made
        return replace(made, sequences=self._sequences(self.spec), filters=(self.spec.filters,))

    def _sequences(self, spec: TabularNet) -> tuple[tuple[int, ...], ...]:
        """By places. Errors: SpecError for a feature that is no number, or the same in every row."""
        for name in (name for sequence in spec.sequences for name in sequence):
            if name not in self.names:
                raise SpecError(f"sequences: {name} is no number that varies among the training rows; leave it out")
        return tuple(tuple(self.names.index(name) for name in sequence) for sequence in spec.sequences)

    def _name(self, design: Design, seen: Json) -> str:
        """The hash of all that decides the weights, but for the number of ranks."""
        told = {**self.spec.model_dump(mode="json", include=DECIDES), **design.as_json(), **seen, "seed": self.seed}
        told |= {"code": code(self.extensions)} if design.module else {}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _laid(rows: DataFrame, design: Design) -> DataFrame:
    """What ranks read: single precision for each place of the vector, or pictures as they are; the label last.

    A label that is a number is in units of its spread.
    """
    label = ((F.col(TARGET) - F.lit(design.offset)) / F.lit(design.scale)).cast("float").alias(LABEL)
    if design.picture:
        return rows.select(F.col(design.feature).alias("x"), label)
    places = rows.select(vector_to_array(F.col(FEATURES), "float32").alias("x"), label)
    return places.select(*[F.col("x")[i].cast("float").alias(f"x{i}") for i in range(design.width)], LABEL)


class NetModel(Model, MLReadable["NetModel"], MLWritable):
    """A trained net. told: what is known of its training; empty after it was loaded."""

    def __init__(self, design: Design, weights: bytes, told: Json | None = None) -> None:
        super().__init__()
        self.design, self.weights, self.told = design, weights, told or {}

    def _transform(self, dataset: DataFrame) -> DataFrame:
        """With PREDICTION; of classes with PROBABILITY and RAW as well. Lazy; Arrow to numpy and back, no pandas."""
        seen = F.col(self.design.feature) if self.design.picture else vector_to_array(F.col(FEATURES))
        raw = _scored(self.design, self.weights)(seen)
        made = dataset.withColumn("__net", raw)
        number = max(self.design.outputs, 2)
        if self.design.goal == "regression":
            return made.withColumn(PREDICTION, F.col("__net")[0]).drop("__net")
        chances = F.slice("__net", number + 1, number)
        return (
            made.withColumn(RAW, array_to_vector(F.slice("__net", 1, number)))
            .withColumn(PROBABILITY, array_to_vector(chances))
            .withColumn(PREDICTION, F.array_position(chances, F.array_max(chances)).cast("double") - 1)
            .drop("__net")
        )

    def write(self) -> MLWriter:
        """Spark's metadata, and the weights beside it."""
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader["NetModel"]:
        """What `write` wrote."""
        return _Reader()


def _scored(design: Design, weights: bytes) -> Any:
    """A function of vectors as arrays, or of pictures: raw outputs, then probabilities, one after the other."""
    work = partial(_drawn, weights) if design.module else partial(outputs, design, load(weights))

    def score(rows: pa.Array) -> pa.Array:
        if design.picture:
            values = pictures.seen(rows.to_pylist(), design.picture)
        else:
            values = rows.flatten().to_numpy(zero_copy_only=False).reshape(-1, design.width)
        found = np.concatenate(answers(design, work(values)), axis=1)
        ends = np.arange(len(found) + 1, dtype=np.int32) * found.shape[1]
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(found.reshape(-1)))

    return cast(Any, F).arrow_udf(score, "array<double>")  # pyspark 4.2 has it, its stub has not


def _drawn(graph: bytes, vector: Matrix) -> Matrix:
    """What the graph of a team's own net gives."""
    found = _opened(graph).score({INPUT: vector})[OUTPUT]
    return found.reshape(len(vector), -1).astype(np.float32)


@lru_cache(maxsize=4)
def _opened(graph: bytes) -> Graph:
    return Graph.opened(graph)


class _Writer(MLWriter):
    def __init__(self, model: NetModel) -> None:
        super().__init__()
        self.model = model

    def saveImpl(self, path: str) -> None:
        told = {"design": self.model.design.as_json(), "sha256": hashlib.sha256(self.model.weights).hexdigest()}
        DefaultParamsWriter.saveMetadata(self.model, path, self.sparkSession, extraMetadata=told)
        _put(self.sparkSession, f"{path}/{self.model.design.file}", self.model.weights)


class _Reader(MLReader[NetModel]):
    def load(self, path: str) -> NetModel:
        """Errors: DataError where the weights are not those that were written."""
        told = DefaultParamsReader.loadMetadata(path, self.sparkSession)
        design = Design.of(told["design"])
        (row,) = self.sparkSession.read.format("binaryFile").load(f"{path}/{design.file}").select("content").collect()
        weights = bytes(row.content)
        if hashlib.sha256(weights).hexdigest() != told["sha256"]:
            raise DataError(f"{path}: the weights of the net are not those that were trained; it is not loaded")
        model = NetModel(design, weights)
        model._resetUid(told["uid"])
        return model


def _put(spark: SparkSession, path: str, content: bytes) -> None:
    """A file wherever Spark can write: models are saved to where its own stages are."""
    java = cast(Any, spark)._jvm
    place = java.org.apache.hadoop.fs.Path(path)
    stream = place.getFileSystem(cast(Any, spark)._jsparkSession.sessionState().newHadoopConf()).create(place, True)
    try:
        stream.write(bytearray(content))
    finally:
        stream.close()
