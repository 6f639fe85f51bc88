"""What a target hands to its cluster for some stages: a spark-submit line, a SparkApplication, a Databricks run. Pure.

Every kind says the same of one application (its size by kind of work, UTC, where
its events go), each in its own words. No secret is in it: an option of the target
that names one is set by the session itself, on the driver's machine, and the
environment gets there as the cluster has it (a Secret, a scope, the nodes' own).
"""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import SpecError
from pipelines.plan import Stage, stages
from pipelines.spec import (
    REFERENCE,
    Application,
    Databricks,
    Kubernetes,
    Local,
    Pipeline,
    Size,
    Standalone,
    Target,
    Workload,
    Yarn,
    load,
    load_target,
)

CHECKOUT = Path(__file__).resolve().parents[1]  # or site-packages: the wheel, too, has jobs/ beside this package
UPKEEP = "upkeep"  # of all tables; no stage of the plan
WIDTH: tuple[Workload, ...] = ("etl", "train", "deep")  # stages that share an application get the most of them
OPERATOR, SPARK = "sparkoperator.k8s.io/v1beta2", "4.2.0"
JAVA = ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions")
TOLD = {
    "application": re.compile(r"\b(application_\d+_\d+)\b"),
    "code": re.compile(r"User application exited with status (\d+)"),
}
BESIDE = "0.4"  # of its heap a driver's container has for Python, as Spark has it on Kubernetes; on YARN it is 0.1
MOST_LETTERS = 50  # of a name, for a pod's has 63 and Spark adds to it


@dataclass(frozen=True)
class Job:
    """Some stages of a conf, to be one Spark application."""

    conf: Path
    stages: tuple[str, ...]
    target: str  # its name
    options: tuple[str, ...] = ()  # more for jobs/batch.py: --full-refresh, ...

    @property
    def name(self) -> str:
        """As the cluster's pages show it."""
        return f"lakeloom {self.conf.stem} {' '.join(self.stages)}"


@dataclass(frozen=True)
class Submission:
    """What is handed over: a command, or a text for another tool to take."""

    parts: tuple[tuple[str, ...], ...] = ()  # of the command: each option with its value
    text: str = ""

    @property
    def command(self) -> tuple[str, ...]:
        """As a process is given it."""
        return tuple(word for part in self.parts for word in part)

    def shown(self) -> str:
        """The command as a shell takes it, an option a line; or the text."""
        return " \\\n  ".join(shlex.join(part) for part in self.parts) + "\n" if self.parts else self.text


def submission(pipeline: Pipeline, job: Job, target: Target) -> Submission:
    """What the target's cluster is handed. Errors: SpecError for an unknown stage, or a target without `submit`."""
    place = target.submit
    if place is None:
        raise SpecError(f"target '{job.target}' has no submit; add `submit: {{kind: local}}`, standalone, yarn ...")
    asked = _asked(pipeline, job, target, place)
    if isinstance(place, Kubernetes):
        return Submission(text=_manifest(place, asked))
    if isinstance(place, Databricks):
        return Submission(text=_run(place, asked, target.secrets()))
    return Submission(_spark_submit(place, asked))


@dataclass(frozen=True)
class _Asked:
    """One application, before it is put in the words of a cluster."""

    job: Job
    size: Size
    fixed: bool  # exactly so many executors
    options: Mapping[str, str]


def _asked(pipeline: Pipeline, job: Job, target: Target, place: Application) -> _Asked:
    work = workload(pipeline, job.stages)
    size = _sized(pipeline, place, _works(pipeline, job.stages))
    return _Asked(job, size, work != "etl", _over(settings(place, size, work), shown(target.spark)))


def _over(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """A target's own options take the place of ours; those of Java stand after ours, so that UTC stays."""
    java = {name: f"{ours[name]} {theirs[name]}" for name in JAVA if name in ours and name in theirs}
    return {**ours, **theirs, **java}


def workload(pipeline: Pipeline, asked: Sequence[str]) -> Workload:
    """The widest kind of work among stages, or kinds of them. Errors: SpecError for one that the conf has not."""
    return _works(pipeline, asked)[-1]


def _works(pipeline: Pipeline, asked: Sequence[str]) -> Sequence[Workload]:
    """All kinds of work among stages, the narrowest first."""
    found = {_work(pipeline, stage) for name in asked for stage in _named(pipeline, name)}
    return sorted(found or {"etl"}, key=WIDTH.index)


def _named(pipeline: Pipeline, name: str) -> list[Stage]:
    every = stages(pipeline)
    found = [s for s in every if name in (s.id, s.kind)]
    if not found and name != UPKEEP:
        raise SpecError(f"no stage '{name}'; there is {', '.join(s.id for s in every)}")
    return found


def _work(pipeline: Pipeline, stage: Stage) -> Workload:
    if stage.kind != "models":
        return "etl"
    return "deep" if any(hasattr(c, "launcher") for c in pipeline.models[stage.name].candidates) else "train"


def _sized(pipeline: Pipeline, place: Application, works: Sequence[Workload]) -> Size:
    """The most that any of some kinds of work gets; a deep job has as many executors as it says, or has ranks."""
    sizes = [place.size(work) for work in works]
    most = Size(
        driver_memory=max((s.driver_memory for s in sizes), key=_bytes),
        executor_memory=max((s.executor_memory for s in sizes), key=_bytes),
        executor_cores=max(s.executor_cores or 1 for s in sizes),
        executors=max(s.executors or 1 for s in sizes),
    )
    if "deep" not in works:
        return most
    ranks = [getattr(c, "processes", None) or 0 for m in pipeline.models.values() for c in m.candidates]
    said = place.sizes.get("deep", Size()).executors
    return most.model_copy(update={"executors": sizes[-1].executors if said or not any(ranks) else max(ranks)})


def _bytes(memory: str | None) -> int:
    """Of '4g', '800m'."""
    found = re.fullmatch(r"(\d+)([kmgt])b?", (memory or "0k").lower())
    return int(found[1]) << 10 * " kmgt".index(found[2]) if found else 0


def settings(place: Application, size: Size, work: Workload) -> dict[str, str]:
    """Spark's options for one application, without those that a kind of cluster has words of its own for."""
    found = {
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.log.level": place.log_level,
        "spark.sql.session.timeZone": "UTC",
    }
    if place.event_log:
        found |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": place.event_log}
    if place.python:
        found["spark.pyspark.python"] = place.python
    if isinstance(place, Yarn) and place.deploy_mode == "cluster":
        found |= {
            "spark.yarn.maxAppAttempts": "1",  # else YARN starts it again, whatever its code was
            "spark.driver.memoryOverheadFactor": BESIDE,
        }
    if isinstance(place, Local | Databricks):  # one has no executors, the other scales its own
        return found
    return found | (_dynamic(size) if work == "etl" else _fixed(place, size, work))


def _dynamic(size: Size) -> dict[str, str]:
    """Executors come and go with the work; their shuffle files are followed, as there may be no shuffle service."""
    return {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.initialExecutors": "1",  # as a minimum of 1, Spark would warn of it at every start
        "spark.dynamicAllocation.maxExecutors": str(size.executors),
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
    }


def _fixed(place: Application, size: Size, work: Workload) -> dict[str, str]:
    """Workers of XGBoost, and ranks, start together: a barrier stage is refused where executors come and go.

    A rank of a deep job has an executor for itself. Source: SPARK-24942.
    """
    assert size.executors and size.executor_cores
    alone = {"spark.task.cpus": str(size.executor_cores)} if work == "deep" else {}
    found = {"spark.dynamicAllocation.enabled": "false", **alone}
    if isinstance(place, Standalone):  # which counts cores, not executors
        return found | {"spark.cores.max": str(size.executors * size.executor_cores)}
    return found


def shown(options: Mapping[str, str]) -> dict[str, str]:
    """Those that may be read by all: an option that names a secret is left to the session."""
    return {name: value for name, value in options.items() if not REFERENCE.search(value)}


def told(lines: Iterable[str]) -> dict[str, str]:
    """What spark-submit says of an application whose driver is in YARN: its 'application', the 'code' of its driver."""
    found: dict[str, str] = {}
    for line in lines:
        found |= {key: match[1] for key, asked in TOLD.items() if (match := asked.search(line))}
    return found


def _spark_submit(place: Local | Standalone | Yarn, asked: _Asked) -> tuple[tuple[str, ...], ...]:
    size, found = asked.size, _handed(place, asked)
    return (
        ("spark-submit",),
        ("--master", found.master),
        ("--deploy-mode", found.deploy_mode),
        *((("--queue", found.queue),) if found.queue else ()),
        ("--name", asked.job.name),
        ("--driver-memory", str(size.driver_memory)),
        *(() if isinstance(place, Local) else _executors(size, asked.fixed and isinstance(place, Yarn))),
        *((("--py-files", ",".join(place.py_files)),) if place.py_files else ()),
        *((("--archives", ",".join(place.archives)),) if place.archives else ()),
        *(("--conf", f"{name}={asked.options[name]}") for name in sorted(asked.options)),
        (application(place), *arguments(place, asked.job)),
    )


def _executors(size: Size, counted: bool) -> tuple[tuple[str, ...], ...]:
    each = ("--executor-memory", str(size.executor_memory)), ("--executor-cores", str(size.executor_cores))
    return (*each, ("--num-executors", str(size.executors))) if counted else each


@dataclass(frozen=True)
class Handed:
    """The same as properties of Spark, for who has an operator of its own for spark-submit."""

    master: str
    deploy_mode: str
    queue: str | None
    properties: Mapping[str, str]


def placed(job: Job) -> tuple[Application | None, Handed | None]:
    """How a job is handed over, read from its files; (None, None) where the target leaves it to who submits.

    Errors: SpecError, for a target that is not there or whose kind is not reached by spark-submit.
    """
    target = load_target(job.conf, job.target)
    place = target.submit
    if place is None:
        return None, None
    if not isinstance(place, Local | Standalone | Yarn):
        raise SpecError(f"target '{job.target}': submit.kind {place.kind} is not reached by spark-submit")
    asked = _asked(load(job.conf), job, target, place)
    return place, _handed(place, asked)


def _handed(place: Local | Standalone | Yarn, asked: _Asked) -> Handed:
    size, yarn = asked.size, isinstance(place, Yarn)
    executor = {"spark.executor.memory": str(size.executor_memory), "spark.executor.cores": str(size.executor_cores)}
    found = {
        "spark.driver.memory": str(size.driver_memory),
        **({} if isinstance(place, Local) else executor),
        **({"spark.executor.instances": str(size.executors)} if asked.fixed and yarn else {}),
        **({"spark.submit.pyFiles": ",".join(place.py_files)} if place.py_files else {}),
        **({"spark.archives": ",".join(place.archives)} if place.archives else {}),
    }
    if isinstance(place, Yarn):
        return Handed("yarn", place.deploy_mode, place.queue, {**found, **asked.options})
    return Handed(place.master, "client", None, {**found, **asked.options})


def application(place: Application | None) -> str:
    """jobs/batch.py, as the driver sees it."""
    return (place.application if place else None) or str(CHECKOUT / "jobs" / "batch.py")


def arguments(place: Application | None, job: Job) -> tuple[str, ...]:
    """Of jobs/batch.py."""
    folder = place.conf_folder if place else None
    conf = f"{folder.rstrip('/')}/{job.conf.name}" if folder else str(job.conf)
    return *job.stages, conf, "--target", job.target, *job.options


def _manifest(place: Kubernetes, asked: _Asked) -> str:
    """A SparkApplication for `kubectl create`; its names end in letters that Kubernetes makes up."""
    words = [word for part in (asked.job.conf.stem, *asked.job.stages) for word in part.replace("_", "-").split(".")]
    name = re.sub(r"[^a-z0-9-]", "", "-".join(words).lower())[:MOST_LETTERS].strip("-")
    whole = {
        "apiVersion": OPERATOR,
        "kind": "SparkApplication",
        "metadata": {"generateName": f"{name}-", "namespace": place.namespace, "labels": {"app": "lakeloom"}},
        "spec": {key: value for key, value in _spec(place, asked).items() if value != {}},
    }
    return "\n".join(_yaml(whole)) + "\n"


def _spec(place: Kubernetes, asked: _Asked) -> dict[str, Any]:
    size, bounds = asked.size, {"enabled": True, "minExecutors": 1, "maxExecutors": asked.size.executors}
    environment = {"envFrom": [{"secretRef": {"name": place.secret}}]} if place.secret else {}
    archives = {"spark.archives": ",".join(place.archives)} if place.archives else {}
    options = {k: v for k, v in asked.options.items() if asked.fixed or not k.startswith(_DYNAMIC)} | archives
    count = {"instances": size.executors} if asked.fixed else {}
    return {
        "type": "Python",
        "pythonVersion": "3",
        "mode": "cluster",
        "sparkVersion": SPARK,
        "image": place.image,
        "mainApplicationFile": _in_image(application(place)),
        "arguments": list(arguments(place, asked.job)),
        "deps": {"pyFiles": list(place.py_files)} if place.py_files else {},
        "sparkConf": dict(sorted(options.items())),
        "dynamicAllocation": {} if asked.fixed else bounds,
        "restartPolicy": {"type": "Never"},  # whoever submits looks at how it ended, and tries again
        "timeToLiveSeconds": place.hours_kept * 3600,
        "driver": {"memory": size.driver_memory, "serviceAccount": place.service_account, **environment},
        "executor": {"memory": size.executor_memory, "cores": size.executor_cores, **count, **environment},
    }


_DYNAMIC = "spark.dynamicAllocation."  # the manifest has words of its own for it


def _in_image(path: str) -> str:
    return path if "://" in path else f"local://{path}"


def _yaml(node: Mapping[str, Any], indent: str = "") -> Iterable[str]:
    """A mapping as YAML; its leaves as JSON, which YAML reads."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _yaml(value, indent + "  ")
        else:
            yield f"{indent}{key}: {json.dumps(value)}"


def _run(place: Databricks, asked: _Asked, secrets: Sequence[str]) -> str:
    """The body of a one-time run of Databricks' Jobs API: one Python task on a new cluster."""
    workers = asked.size.executors
    scale = {"num_workers": workers} if asked.fixed else {"autoscale": {"min_workers": 1, "max_workers": workers}}
    opened = {name: f"{{{{secrets/{place.secret_scope}/{name}}}}}" for name in secrets if place.secret_scope}
    cluster = {
        "spark_version": place.runtime,
        "node_type_id": place.node_type,
        **scale,
        "spark_conf": dict(sorted(asked.options.items())),
        **({"spark_env_vars": opened} if opened else {}),
    }
    task = {
        "task_key": "-".join(s.replace(".", "-") for s in asked.job.stages)[:MOST_LETTERS],
        "new_cluster": cluster,
        "spark_python_task": {"python_file": application(place), "parameters": list(arguments(place, asked.job))},
        "libraries": [{"whl": file} for file in place.py_files],
        "timeout_seconds": place.hours_at_most * 3600,
    }
    return json.dumps({"run_name": asked.job.name, "tasks": [task]}, indent=2) + "\n"
