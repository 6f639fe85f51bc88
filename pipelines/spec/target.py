"""A target: where a pipeline runs. The people who deploy own it; a conf author cannot reach it."""

from typing import Annotated

from pydantic import Field

from pipelines.spec.base import Name, Spec
from pipelines.spec.connection import Connection

Option = Annotated[str, Field(pattern=r"^spark\.[A-Za-z0-9_.]+$")]


class Target(Spec):
    """Places and engine settings. Relative paths start at the folder that holds `conf/`."""

    master: str | None = Field(default="local[*]", description="Spark master; null: what spark-submit was given")
    driver_memory: str = Field(default="2g", pattern=r"^\d+[gm]$")
    warehouse: str = Field(default=".lakeloom/warehouse", description="root of all tables")
    landing: str = Field(default=".lakeloom/landing", description="root of all file and Delta sources")
    tracking: str = Field(default="sqlite:///.lakeloom/mlflow.db", description="MLflow tracking and registry URI")
    artifacts: str = Field(default=".lakeloom/artifacts", description="root of model artifacts")
    connections: dict[Name, Connection] = Field(default={}, description="servers that sources read from, by name")
    spark: dict[Option, str] = Field(default={}, description="Spark options, passed through as they are")
