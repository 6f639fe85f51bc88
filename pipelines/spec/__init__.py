"""The conf as frozen values: one file a noun, plus loading with file and line. No engine is imported here."""

from pipelines.spec.airflow import Airflow
from pipelines.spec.alerts import Alerts
from pipelines.spec.base import Spec, length_text, length_words
from pipelines.spec.candidate import (
    Candidate,
    ImageNet,
    Isotonic,
    Lda,
    LogisticRegression,
    Own,
    Survival,
    TabularNet,
    Xgboost,
    learners,
)
from pipelines.spec.case import Case, Cases
from pipelines.spec.connection import KafkaBrokers, Postgres
from pipelines.spec.decision import Cost, Decision
from pipelines.spec.expectations import Expectation
from pipelines.spec.explain import Explain
from pipelines.spec.fairness import RATES, Fairness
from pipelines.spec.feature import PERCENTILES, AsOf, Feature, Window, reach_text
from pipelines.spec.gate import Gate, smaller_is_better
from pipelines.spec.lineage import LineageFile, LineageHttp
from pipelines.spec.load import Lines, load, load_cases, load_lines, load_target
from pipelines.spec.model import Model
from pipelines.spec.monitor import Monitor
from pipelines.spec.pipeline import Pipeline
from pipelines.spec.prices import Prices
from pipelines.spec.score import KafkaSink, Score
from pipelines.spec.search import Range, Search
from pipelines.spec.source import Delta, Files, Jdbc, Kafka, Source
from pipelines.spec.split import Backtest, Split
from pipelines.spec.submit import (
    Application,
    Databricks,
    Kubernetes,
    Local,
    Size,
    Standalone,
    Submit,
    Workload,
    Yarn,
)
from pipelines.spec.table import HISTORY, Freshness, Table, Volume
from pipelines.spec.target import REFERENCE, Target
from pipelines.spec.task import METRICS, TASKS, Metric, Task

__all__ = [
    "HISTORY", "METRICS", "PERCENTILES", "RATES", "REFERENCE", "TASKS", "Airflow", "Alerts", "Application", "AsOf",
    "Backtest", "Candidate", "Case", "Cases", "Cost", "Databricks", "Decision", "Delta", "Expectation", "Explain",
    "Fairness", "Feature", "Files", "Freshness", "Gate", "ImageNet", "Isotonic", "Jdbc", "Kafka", "KafkaBrokers",
    "KafkaSink", "Kubernetes", "Lda", "LineageFile", "LineageHttp", "Lines", "Local", "LogisticRegression", "Metric",
    "Model", "Monitor", "Own", "Pipeline", "Postgres", "Prices", "Range", "Score", "Search", "Size", "Source", "Spec",
    "Split", "Standalone", "Submit", "Survival", "Table", "TabularNet", "Target", "Task", "Volume", "Window",
    "Workload", "Xgboost", "Yarn", "learners", "length_text", "length_words", "load", "load_cases", "load_lines",
    "load_target", "reach_text", "smaller_is_better",
]  # fmt: skip
