"""Kafka to scores in Delta as the guides of Spark and of Delta have it: one query, default options, nothing of ours.

    python -m benchmarks.peers.streaming BROKER TOPIC LEARN.json PLACE

Goes on until it is ended. What cannot be read is dropped; no expectation, no quarantine, no record of what was done.
"""

import sys

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

SCHEMA = "id BIGINT, at TIMESTAMP, amount DOUBLE, seen_at TIMESTAMP, fraud BOOLEAN"


def main(broker: str, topic: str, learn: str, place: str) -> None:
    """Train on lines of JSON; then score each record of a topic into place/scores."""
    delta = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }
    spark = SparkSession.builder.master("local[2]").config(map=delta).getOrCreate()
    known = (
        spark.read.schema(SCHEMA).json(learn).where("id IS NOT NULL").withColumn("label", F.col("fraud").cast("int"))
    )
    stages = [VectorAssembler(inputCols=["amount"], outputCol="features"), LogisticRegression()]
    model = Pipeline(stages=stages).fit(known)
    said = spark.readStream.format("kafka").option("kafka.bootstrap.servers", broker).option("subscribe", topic)
    said = said.option("startingOffsets", "earliest")  # what came while it started, as ours has it
    record = F.from_json(F.col("value").cast("string"), SCHEMA)
    rows = said.load().select(record.alias("record")).select("record.*").where("id IS NOT NULL")
    score = vector_to_array("probability")[1].alias("score")
    scored = model.transform(rows).select("id", "at", score, F.current_timestamp().alias("scored_at"))
    query = scored.writeStream.format("delta").option("checkpointLocation", f"{place}/checkpoint")
    query.start(f"{place}/scores").awaitTermination()


if __name__ == "__main__":
    main(*sys.argv[1:])
