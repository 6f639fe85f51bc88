"""The whole of one conf file."""

from pydantic import Field

from pipelines.spec.airflow import Airflow
from pipelines.spec.base import Name, Spec
from pipelines.spec.feature import Feature
from pipelines.spec.model import Model
from pipelines.spec.monitor import Monitor
from pipelines.spec.score import Score
from pipelines.spec.source import Source
from pipelines.spec.table import Table


class Pipeline(Spec):
    """Everything from sources to scores; what it names is checked in check.py, before any engine starts."""

    pipeline: Name = Field(description="its name: the folder of its tables, the prefix of its models")
    description: str = Field(default="", description="the question it answers, for people")
    schedule: str | None = Field(default=None, description="cron expression or Airflow preset, for the DAG")
    upkeep_schedule: str | None = Field(default=None, description="the same, for a DAG of `lakeloom upkeep`")
    airflow: Airflow = Field(
        default=Airflow(), description="how Airflow runs the DAG", json_schema_extra={"default": {}}
    )
    sources: dict[Name, Source] = Field(default={}, description="what arrives, by name")
    tables: dict[Name, Table] = Field(default={}, description="Delta tables that we make, by name")
    features: dict[Name, Feature] = Field(default={}, description="feature tables, by name")
    models: dict[Name, Model] = Field(default={}, description="what is trained on them, by name")
    scores: dict[Name, Score] = Field(default={}, description="published predictions, by name")
    monitors: dict[Name, Monitor] = Field(default={}, description="what of them is watched, by name")
