"""A target: where a pipeline runs. The people who deploy own it; a conf author cannot reach it."""

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from pipelines.spec.alerts import Alerts
from pipelines.spec.base import Name, Spec
from pipelines.spec.connection import Connection, Postgres
from pipelines.spec.lineage import Lineage, LineageHttp
from pipelines.spec.prices import Prices
from pipelines.spec.submit import Submit

REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")  # what stands in a file in place of a secret
_SECRET = re.compile(
    r"password|passphrase|(^|[._-])(secret|token|credentials?|sas)($|[._-])|(access|account|api|private)[._-]?key", re.I
)
_PUBLIC = re.compile(r"provider|enabled|(path|type|file)$", re.I)  # where a secret is found is none


def _without_literal_secret(options: dict[str, str]) -> dict[str, str]:
    for name, value in options.items():
        if _SECRET.search(name) and not _PUBLIC.search(name) and not REFERENCE.search(value):
            raise ValueError(f"{name}: should be ${{env:NAME}}, for a secret stands in the environment and in no file")
    return options


Extension = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", max_length=200)]
Option = Annotated[str, Field(pattern=r"^spark\.[A-Za-z0-9_.-]+$")]


class Target(Spec):
    """Places and engine settings. Relative paths start at the folder that holds `conf/`."""

    master: str | None = Field(default="local[*]", description="Spark master; null: what spark-submit was given")
    driver_memory: str = Field(default="2g", pattern=r"^\d+[gm]$")
    warehouse: str = Field(default=".lakeloom/warehouse", description="root of all tables")
    landing: str = Field(default=".lakeloom/landing", description="root of all file and Delta sources")
    tracking: str = Field(default="sqlite:///.lakeloom/mlflow.db", description="MLflow tracking and registry URI")
    artifacts: str = Field(default=".lakeloom/artifacts", description="root of model artifacts")
    namespace: Name | None = Field(
        default=None, description="before each model's name in MLflow, where a branch shares a server with others"
    )
    exports: str = Field(
        default=".lakeloom/exports",
        description="folder in which `forget` looks for models exported with features by key",
    )
    defer_to: str | None = Field(  # once loaded, the warehouse of that target
        default=None,
        description="a target whose published tables and features stand for those that this one has not made itself",
    )
    connections: dict[Name, Connection] = Field(default={}, description="servers that sources read from, by name")
    spark: Annotated[dict[Option, str], AfterValidator(_without_literal_secret)] = Field(
        default={}, description="Spark options, passed through as they are; a secret as `${env:NAME}`"
    )
    extensions: tuple[Extension, ...] = Field(
        default=(),
        description="Python modules of your own, trusted like the code: "
        "what their `NETS`, `ESTIMATORS` and `WEIGHTS` name a conf may ask for",
    )
    submit: Submit | None = Field(default=None, description="how `lakeloom submit` and Airflow reach a cluster")

    prices: Prices | None = Field(default=None, description="what a run costs; null: nothing is reckoned")
    lineage: Lineage | None = Field(default=None, description="where OpenLineage events go; null: nowhere")
    alerts: Alerts | None = Field(default=None, description="who hears of what needs a look; null: nobody")

    @model_validator(mode="after")
    def _one_master(self) -> "Target":
        if self.submit and self.master is not None:
            raise ValueError(f"master: should be null where `submit` says who runs it, got '{self.master}'")
        return self

    def registered(self, pipeline: str, model: str = "") -> str:
        """A model's name in MLflow; without one that of the pipeline's experiment."""
        return ".".join(filter(None, (self.namespace, pipeline, model)))

    def secrets(self) -> tuple[str, ...]:
        """The environment variables that its connections and options name, in order."""
        return tuple(dict.fromkeys(self._references()))

    def _references(self) -> Iterator[str]:
        for connection in self.connections.values():
            if isinstance(connection, Postgres):
                yield from (REFERENCE.sub(r"\1", text) for text in (connection.user, connection.password))
        if isinstance(self.lineage, LineageHttp) and self.lineage.token:
            yield self.lineage.variable
        if self.alerts:
            yield self.alerts.variable
        for value in self.spark.values():
            yield from REFERENCE.findall(value)
