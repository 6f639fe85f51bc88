"""What the tests ask of Airflow's own interpreter; each answer is one line of JSON, the last on stdout.

python in_airflow.py bag            the DAGs that Airflow finds in its DAGs folder, and its import errors
python in_airflow.py parse          what reading dags/lakeloom.py once more imports, and the seconds it takes
python in_airflow.py run DAG [CONF] dag.test() without waits between tries -> states and tries
"""

import gc
import json
import runpy
import sys
import time
from datetime import timedelta
from pathlib import Path

import airflow.providers.apache.spark.operators.spark_submit
import airflow.sdk

DOOR = Path(__file__).parents[2] / "dags" / "lakeloom.py"


def bag() -> dict[str, object]:
    """As the DAG processor collects them, then through the serialization that the scheduler reads."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    found = DagBag(dag_folder=str(DOOR.parent))
    dags = {name: DagSerialization.deserialize_dag(DagSerialization.serialize_dag(d)) for name, d in found.dags.items()}
    return {"errors": found.import_errors, "dags": {name: _face(dag) for name, dag in dags.items()}}


def _face(dag: airflow.sdk.DAG) -> dict[str, object]:
    return {
        "schedule": dag.timetable.summary,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "doc": dag.doc_md,
        "needs": {t.task_id: sorted(t.upstream_task_ids) for t in dag.tasks},
        "docs": {t.task_id: t.doc_md for t in dag.tasks},
        "groups": sorted(name for name in dag.task_group.get_task_group_dict() if name),
        "pools": sorted({t.pool for t in dag.tasks}),
        "tries": sorted({t.retries + 1 for t in dag.tasks}),
        "timeouts_s": sorted({t.execution_timeout.total_seconds() for t in dag.tasks if t.execution_timeout}),
        "params": dag.params.dump(),
        "outlets": {t.task_id: [o.uri for o in t.outlets] for t in dag.tasks if t.outlets},
    }


def parse() -> dict[str, object]:
    """With the garbage collector frozen, as the DAG processor has it."""
    gc.freeze()
    before, start = set(sys.modules), time.perf_counter()
    runpy.run_path(str(DOOR))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "modules": sorted({m.partition(".")[0] for m in set(sys.modules) - before})}


def run(name: str, asked: str = "{}") -> dict[str, object]:
    """One run of one DAG, its tasks one after the other in this process; asked: its params, as JSON."""
    dag = runpy.run_path(str(DOOR))[name]
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
    done = dag.test(run_conf=json.loads(asked))
    tasks = {t.task_id: [str(t.state), t.try_number] for t in done.get_task_instances()}
    return {"state": str(done.state), "tasks": tasks}


if __name__ == "__main__":
    answer = {"bag": bag, "parse": parse, "run": run}[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
