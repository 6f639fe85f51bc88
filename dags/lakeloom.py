"""One door for Airflow: a DAG for each conf file. Where it looks for them is in docs/airflow.md."""

import os
import sys
from pathlib import Path

sys.path.insert(0, os.environ.get("LAKELOOM_HOME") or str(Path(__file__).resolve().parents[1]))

from pipelines.dag import TARGET, dags

globals().update(dags(Path(sys.path[0], "conf"), os.environ.get("LAKELOOM_TARGET") or TARGET))
