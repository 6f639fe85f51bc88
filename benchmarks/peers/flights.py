"""The flights job as a hand-written PySpark script: what the documentation of each library teaches, in one file.

Reads all landed files, checks them with Great Expectations, writes clean and
quarantined rows to Delta, makes features, trains two models with Spark ML and
XGBoost, logs them to MLflow and scores the newest month. Run it again when
new files have landed: it does everything again. It imports nothing of ours.
"""

import argparse
import logging
from functools import reduce

import great_expectations as gx
import great_expectations.expectations as gxe
import mlflow
from mlflow.tracking import MlflowClient
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator, MulticlassClassificationEvaluator
from pyspark.ml.feature import Imputer, OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from xgboost.spark import SparkXGBClassifier

log = logging.getLogger("flights")

SCHEMAS = {
    "flights": "year INT, month INT, day INT, dep_time INT, sched_dep_time INT, dep_delay INT, arr_time INT, "
    "sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING, origin STRING, dest STRING, "
    "air_time INT, distance INT, hour INT, minute INT, time_hour TIMESTAMP",
    "weather": "origin STRING, year INT, month INT, day INT, hour INT, temp DOUBLE, dewp DOUBLE, humid DOUBLE, "
    "wind_dir INT, wind_speed DOUBLE, wind_gust DOUBLE, precip DOUBLE, pressure DOUBLE, visib DOUBLE, "
    "time_hour TIMESTAMP",
    "airports": "faa STRING, name STRING, lat DOUBLE, lon DOUBLE, alt INT, tz INT, dst STRING, tzone STRING",
    "planes": "tailnum STRING, year INT, type STRING, manufacturer STRING, model STRING, engines INT, seats INT, "
    "speed INT, engine STRING",
}
KEYS = {"flights": "flight_id", "weather": "observation_id", "airports": "faa", "planes": "tailnum"}
# what a bad row looks like, and the same as expectations
BAD = {
    "airports": ["tzone IS NULL"],
    "planes": ["seats NOT BETWEEN 1 AND 600"],
    "weather": ["wind_speed NOT BETWEEN 0 AND 200", "humid NOT BETWEEN 0 AND 100"],
    "flights": [
        "origin IS NULL",
        "distance NOT BETWEEN 50 AND 6000",
        "air_time NOT BETWEEN 10 AND 1500",
        "actual_arrival <= actual_departure",
    ],
}
EXPECTATIONS = {
    "airports": [gxe.ExpectColumnValuesToNotBeNull(column="tzone")],
    "planes": [gxe.ExpectColumnValuesToBeBetween(column="seats", min_value=1, max_value=600)],
    "weather": [
        gxe.ExpectColumnValuesToBeBetween(column="wind_speed", min_value=0, max_value=200),
        gxe.ExpectColumnValuesToBeBetween(column="humid", min_value=0, max_value=100),
    ],
    "flights": [
        gxe.ExpectColumnValuesToNotBeNull(column="origin"),
        gxe.ExpectColumnValuesToBeBetween(column="distance", min_value=50, max_value=6000),
        gxe.ExpectColumnValuesToBeBetween(column="air_time", min_value=10, max_value=1500),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="actual_arrival", column_B="actual_departure", ignore_row_if="either_value_is_missing"
        ),
        gxe.ExpectColumnValuesToNotBeNull(column="arr_delay", mostly=0.9),
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
    ],
}
SELECTS = {
    "airports": "SELECT faa, name, lat, lon, tzone FROM raw",
    "planes": "SELECT tailnum, year AS built, seats, engines, manufacturer FROM raw",
    "weather": """
        SELECT concat_ws('-', date_format(time_hour, 'yyyyMMddHH'), origin) AS observation_id, origin,
               time_hour + INTERVAL 51 MINUTES AS observed_at,
               temp, dewp, humid, wind_speed, precip, pressure, visib
        FROM raw""",
    "flights": """
        WITH scheduled AS (
          SELECT r.*, coalesce(a.tzone, 'America/Puerto_Rico') AS zone, p.built, p.seats,
                 timestampadd(MINUTE, minute, time_hour) AS scheduled_departure
          FROM raw r LEFT JOIN airports a ON a.faa = r.dest LEFT JOIN planes p ON p.tailnum = r.tailnum
        ), departed AS (
          SELECT *, timestampadd(MINUTE, dep_delay, scheduled_departure) AS actual_departure FROM scheduled
        ), local AS (
          SELECT *, from_utc_timestamp(actual_departure, zone) AS left_at,
                 timestampadd(MINUTE, arr_time DIV 100 * 60 + arr_time % 100,
                              date_trunc('DAY', from_utc_timestamp(actual_departure, zone))) AS shown
          FROM departed
        )
        SELECT concat_ws('-', date_format(time_hour, 'yyyyMMddHH'), carrier, CAST(flight AS STRING), origin)
                 AS flight_id,
               carrier, flight, tailnum, origin, dest, distance, built, seats,
               sched_dep_time DIV 100 AS departure_hour, sched_arr_time DIV 100 AS arrival_hour,
               dayofweek(from_utc_timestamp(scheduled_departure, 'America/New_York')) AS weekday,
               month, scheduled_departure, actual_departure,
               to_utc_timestamp(CASE WHEN shown > left_at THEN shown ELSE shown + INTERVAL 1 DAY END, zone)
                 AS actual_arrival,
               dep_delay, arr_delay, air_time
        FROM local""",
}
CATEGORIES = ["carrier", "origin", "dest"]
WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
HOURS = [1, 6]
NUMBERS = [
    *["distance", "built", "seats", "departure_hour", "arrival_hour", "weekday", "month"],
    *[f"weather_{c}" for c in WEATHER],
    *[f"{c}_{h}h" for h in HOURS for c in ("dep_delay_avg", "dep_delay_max", "dep_delay_count", "arr_delay_avg")],
]
MODEL = "late_arrival"


def read(spark: SparkSession, landing: str, table: str) -> DataFrame:
    """All landed files of one source."""
    return spark.read.csv(f"{landing}/{table}", schema=SCHEMAS[table], header=True, nullValue="NA")


def validate(df: DataFrame, table: str) -> None:
    """Run the table's suite with Great Expectations and log what did not hold."""
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_spark(name="spark", persist=False).add_dataframe_asset(name=table)
    batch = asset.add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name=table, expectations=EXPECTATIONS[table]))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=table, data=batch, suite=suite))
    result = definition.run(batch_parameters={"dataframe": df})
    for failed in (r for r in result.results if not r.success):
        log.warning("%s: %s: %s", table, failed.expectation_config.type, failed.result)


def build_table(spark: SparkSession, landing: str, out: str, table: str) -> None:
    """Raw files to a clean Delta table, a quarantine table and a view for the tables that join it."""
    read(spark, landing, table).createOrReplaceTempView("raw")
    df = spark.sql(SELECTS[table]).dropDuplicates([KEYS[table]]).cache()
    validate(df, table)
    bad = F.coalesce(reduce(lambda a, b: a | b, map(F.expr, BAD[table])), F.lit(False))
    reasons = F.concat_ws("; ", *(F.when(F.expr(rule), F.lit(rule)) for rule in BAD[table]))
    overwrite(df.filter(~bad), f"{out}/{table}")
    overwrite(df.filter(bad).withColumn("reasons", reasons), f"{out}/{table}_quarantine")
    df.unpersist()
    spark.read.format("delta").load(f"{out}/{table}").createOrReplaceTempView(table)


def overwrite(df: DataFrame, path: str) -> None:
    """Replace a Delta table."""
    df.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)


def with_weather(flights: DataFrame, weather: DataFrame) -> DataFrame:
    """The newest observation before scheduled departure, at most three hours old: range join, row_number."""
    w = weather.select("origin", "observed_at", *(F.col(c).alias(f"weather_{c}") for c in WEATHER)).alias("w")
    f = flights.alias("f")
    known = (
        (F.col("w.origin") == F.col("f.origin"))
        & (F.col("w.observed_at") < F.col("f.scheduled_departure"))
        & (F.col("w.observed_at") >= F.col("f.scheduled_departure") - F.expr("INTERVAL 3 HOURS"))
    )
    newest = Window.partitionBy("flight_id").orderBy(F.col("observed_at").desc())
    joined = f.join(w, known, "left").select("f.*", "observed_at", *(f"weather_{c}" for c in WEATHER))
    return joined.withColumn("n", F.row_number().over(newest)).filter("n = 1").drop("n", "observed_at")


def delays_before(flights: DataFrame, known_at: str, delay: str, aggregates: list[str]) -> DataFrame:
    """flight_id with the origin's delays that became known in the hours before its scheduled departure."""
    events = flights.filter(f"{known_at} IS NOT NULL").select("origin", F.col(known_at).alias("at"), delay)
    asked = flights.select("origin", F.col("scheduled_departure").alias("at"), "flight_id")
    both = events.unionByName(asked, allowMissingColumns=True).withColumn("second", F.col("at").cast("long"))
    by_time = Window.partitionBy("origin").orderBy("second")
    columns = [
        getattr(F, a)(delay).over(by_time.rangeBetween(-3600 * h, -1)).alias(f"{delay}_{a}_{h}h")
        for h in HOURS
        for a in aggregates
    ]
    return both.select("flight_id", *columns).filter("flight_id IS NOT NULL")


def build_features(spark: SparkSession, out: str) -> DataFrame:
    """One row a flight, with what was known at its scheduled departure."""
    flights = spark.table("flights")
    departures = delays_before(flights, "actual_departure", "dep_delay", ["avg", "max", "count"])
    arrivals = delays_before(flights, "actual_arrival", "arr_delay", ["avg"])
    features = with_weather(flights, spark.table("weather")).join(departures, "flight_id").join(arrivals, "flight_id")
    label = F.expr("CAST(arr_delay >= 15 AS DOUBLE)").alias("label")
    overwrite(features.select("flight_id", "scheduled_departure", *CATEGORIES, *NUMBERS, label), f"{out}/features")
    return spark.read.format("delta").load(f"{out}/features")


def split(labelled: DataFrame) -> tuple[DataFrame, DataFrame, DataFrame]:
    """Oldest 70 % to train, then 15 % to validate and the newest 15 % to test."""
    timed = labelled.withColumn("second", F.col("scheduled_departure").cast("long"))
    first, second = timed.approxQuantile("second", [0.7, 0.85], 0.001)
    return (
        timed.filter(F.col("second") <= first),
        timed.filter((F.col("second") > first) & (F.col("second") <= second)),
        timed.filter(F.col("second") > second),
    )


def candidates() -> dict[str, Pipeline]:
    """Logistic regression on one-hot categories and filled numbers; boosted trees on both as they are."""
    indexes, hot = [f"{c}_index" for c in CATEGORIES], [f"{c}_hot" for c in CATEGORIES]
    filled = [f"{c}_filled" for c in NUMBERS]
    indexer = StringIndexer(inputCols=CATEGORIES, outputCols=indexes, handleInvalid="keep")
    linear = [
        indexer,
        OneHotEncoder(inputCols=indexes, outputCols=hot, handleInvalid="keep"),
        Imputer(inputCols=NUMBERS, outputCols=filled),
        VectorAssembler(inputCols=[*hot, *filled], outputCol="features"),
        LogisticRegression(regParam=1e-4, maxIter=50),
    ]
    trees = [
        indexer,
        VectorAssembler(inputCols=[*indexes, *NUMBERS], outputCol="features", handleInvalid="keep"),
        SparkXGBClassifier(features_col="features", n_estimators=200, max_depth=6, learning_rate=0.1),
    ]
    return {"logistic_regression": Pipeline(stages=linear), "xgboost": Pipeline(stages=trees)}


def evaluate(model: PipelineModel, df: DataFrame) -> dict[str, float]:
    """Metrics on one slice."""
    scored = model.transform(df).cache()
    metrics = {
        "roc_auc": BinaryClassificationEvaluator(metricName="areaUnderROC").evaluate(scored),
        "average_precision": BinaryClassificationEvaluator(metricName="areaUnderPR").evaluate(scored),
        "accuracy": MulticlassClassificationEvaluator(metricName="accuracy").evaluate(scored),
    }
    for name in ("precisionByLabel", "recallByLabel", "fMeasureByLabel"):
        metrics[name] = MulticlassClassificationEvaluator(metricName=name, metricLabel=1.0).evaluate(scored)
    scored.unpersist()
    return metrics


def train(features: DataFrame, tracking: str) -> PipelineModel:
    """Fit both candidates, choose on validation, judge on test, log to MLflow, move the alias."""
    mlflow.set_tracking_uri(tracking)
    mlflow.set_experiment("flights")
    fit, validation, test = split(features.filter("label IS NOT NULL"))
    fit.cache()
    models = {name: pipeline.fit(fit) for name, pipeline in candidates().items()}
    fit.unpersist()
    quality = {name: evaluate(model, validation)["average_precision"] for name, model in models.items()}
    best = max(quality, key=lambda name: quality[name])
    with mlflow.start_run(run_name=best):
        metrics = evaluate(models[best], test)
        mlflow.log_metrics(metrics)
        logged = mlflow.spark.log_model(models[best], artifact_path="model", registered_model_name=MODEL)
    log.info("%s: %s", best, metrics)
    if metrics["roc_auc"] >= 0.65:
        MlflowClient().set_registered_model_alias(MODEL, "champion", logged.registered_model_version)
    return models[best]


def score(model: PipelineModel, features: DataFrame, out: str) -> None:
    """Publish the scores of the newest month."""
    local_month = F.date_trunc("MONTH", F.from_utc_timestamp("scheduled_departure", "America/New_York"))
    newest = features.agg(F.max(local_month)).first()[0]
    month = features.filter(local_month == F.lit(newest))
    probability = vector_to_array("probability")[1].alias("score")
    overwrite(model.transform(month).select("flight_id", "scheduled_departure", probability), f"{out}/scores")


def session(options: dict[str, str]) -> SparkSession:
    """A session with Delta, and with the options given on the command line."""
    builder = (
        SparkSession.builder.appName("flights")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
    )
    return builder.config(map=options).getOrCreate()


def main() -> None:
    """The whole job, top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--landing", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--tracking", required=True)
    parser.add_argument("--conf", action="append", default=[], metavar="KEY=VALUE", help="a Spark option")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    spark = session(dict(option.split("=", 1) for option in args.conf))
    for table in ("airports", "planes", "weather", "flights"):
        build_table(spark, args.landing, args.out, table)
        log.info("table %s is written", table)
    features = build_features(spark, args.out)
    log.info("features are written")
    model = train(features, args.tracking)
    log.info("model is registered")
    score(model, features, args.out)
    log.info("scores are written")
    spark.stop()


if __name__ == "__main__":
    main()
