"""How a stage becomes a Spark application: one class a `kind` of cluster, and what an application gets of it.

Nothing here may hold a secret: what stands in a target is printed, sent and logged. To add a kind of cluster, write
its class, name it in Submit, and say in pipelines/submit.py what is handed to it.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field

from pipelines.spec.base import Name, Spec

Workload = Literal["etl", "train", "deep"]
Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]*[gm]$")]
_PLACE = r"^[^\s'\"]+$"
Place = Annotated[str, Field(pattern=_PLACE)]


class Size(Spec):
    """What one application gets; what is left out is the default of its kind of work."""

    driver_memory: Memory | None = Field(default=None, description="of the driver's JVM, such as 4g")
    executor_memory: Memory | None = Field(default=None, description="of an executor's JVM")
    executor_cores: int | None = Field(default=None, gt=0, description="of one executor; of `deep` those of one rank")
    executors: int | None = Field(default=None, gt=0, description="exactly so many; of `etl` at most")

    def over(self, other: "Size") -> "Size":
        """What is said here, and what the other says of the rest."""
        return other.model_copy(update=self.model_dump(exclude_none=True))


DEFAULTS: dict[Workload, Size] = {  # what is judged of a model meets in the driver: `train` has more of it
    "etl": Size(driver_memory="2g", executor_memory="4g", executor_cores=2, executors=8),
    "train": Size(driver_memory="4g", executor_memory="6g", executor_cores=4, executors=4),
    "deep": Size(driver_memory="4g", executor_memory="8g", executor_cores=4, executors=2),
}


class Application(Spec):
    """What every kind of cluster is told."""

    application: Place | None = Field(
        default=None, description="jobs/batch.py as the driver sees it; null: that of this installation"
    )
    conf_folder: Place | None = Field(
        default=None, description="`conf/` as the driver sees it, such as /opt/lakeloom/conf; null: where it lies here"
    )
    python: Place | None = Field(
        default=None, description="the interpreter, such as ./environment/bin/python; null: PYSPARK_PYTHON"
    )
    py_files: tuple[Place, ...] = Field(default=(), description="wheels and zips that driver and executors import from")
    archives: tuple[Place, ...] = Field(default=(), description="unpacked beside them: env.tar.gz#environment")
    sizes: dict[Workload, Size] = Field(
        default={}, description="by kind of work: `etl`, `train` (models), `deep` (models with a launcher)"
    )
    event_log: Place | None = Field(default=None, description="folder of Spark's event logs; null: none are written")
    log_level: Literal["ERROR", "WARN", "INFO"] = Field(default="WARN", description="of driver and executors")
    pool: Name | None = Field(
        default=None, description="Airflow's pool, a slot of which each application takes: how many run at a time"
    )

    @classmethod
    def named(cls) -> str:
        """The `kind` that stands for it."""
        return str(get_args(cls.model_fields["kind"].annotation)[0])

    def size(self, workload: Workload) -> Size:
        """All four of a kind of work."""
        return self.sizes.get(workload, Size()).over(DEFAULTS[workload])


class Local(Application):
    """One machine, by spark-submit."""

    kind: Literal["local"]
    master: str = Field(default="local[*]", pattern=r"^local(\[[^\]]+\])?$", description="how many cores")


class Standalone(Application):
    """Spark's own cluster. The driver runs where spark-submit is called, as Spark has it for Python."""

    kind: Literal["standalone"]
    master: str = Field(pattern=r"^spark://[A-Za-z0-9.,:_-]+$", description="spark://host:7077")


class Yarn(Application):
    """Hadoop's cluster, HDInsight's among them; HADOOP_CONF_DIR says where it is."""

    kind: Literal["yarn"]
    deploy_mode: Literal["client", "cluster"] = Field(default="cluster", description="where the driver runs")
    queue: str = Field(default="default", pattern=r"^[A-Za-z0-9_.-]+$", description="of the resource manager")


class Kubernetes(Application):
    """A SparkApplication of the Spark operator (sparkoperator.k8s.io/v1beta2)."""

    kind: Literal["kubernetes"]
    image: Place = Field(description="with Spark, the locked packages, the jars, jobs/ and conf/ in it")
    namespace: str = Field(default="default", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    service_account: str = Field(default="spark", pattern=r"^[a-z0-9][-a-z0-9.]{0,62}$", description="of the driver")
    secret: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][-a-z0-9.]{0,62}$",
        description="a Secret whose keys become the driver's and executors' environment",
    )
    hours_kept: int = Field(default=24, gt=0, description="after its end the operator removes it")


class Databricks(Application):
    """A one-time run of a job on a cluster of its own, as `databricks jobs submit` takes it."""

    kind: Literal["databricks"]
    runtime: str = Field(pattern=r"^[A-Za-z0-9.-]+$", description="spark_version: one whose Spark is that of the lock")
    node_type: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="node_type_id of driver and workers")
    secret_scope: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._@-]{1,128}$",
        description="scope that has a secret for each `${env:NAME}` of the target, named NAME",
    )
    hours_at_most: int = Field(default=6, gt=0, description="then the run is ended")


Submit = Annotated[Local | Standalone | Yarn | Kubernetes | Databricks, Field(discriminator="kind")]
CLUSTERS: tuple[type[Application], ...] = (Local, Standalone, Yarn, Kubernetes, Databricks)
