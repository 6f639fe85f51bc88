"""The conf as frozen values: one file a noun, plus loading with file and line. No engine is imported here."""

from pipelines.spec.base import Spec, length_text, length_words
from pipelines.spec.case import Case, Cases
from pipelines.spec.connection import KafkaBrokers, Postgres
from pipelines.spec.expectations import Expectation
from pipelines.spec.feature import AsOf, Feature, Window
from pipelines.spec.load import Lines, load, load_cases, load_lines, load_target
from pipelines.spec.model import Candidate, Gate, LogisticRegression, Model, Score, Split, Xgboost
from pipelines.spec.monitor import Monitor
from pipelines.spec.pipeline import Pipeline
from pipelines.spec.source import Delta, Files, Jdbc, Kafka, Source
from pipelines.spec.table import HISTORY, Freshness, Table, Volume
from pipelines.spec.target import Target

__all__ = [
    "HISTORY", "AsOf", "Candidate", "Case", "Cases", "Delta", "Expectation", "Feature", "Files", "Freshness", "Gate",
    "Jdbc", "Kafka", "KafkaBrokers", "Lines", "LogisticRegression", "Model", "Monitor", "Pipeline", "Postgres", "Score",
    "Source", "Spec", "Split", "Table", "Target", "Volume", "Window", "Xgboost", "length_text", "length_words", "load",
    "load_cases", "load_lines", "load_target",
]  # fmt: skip
