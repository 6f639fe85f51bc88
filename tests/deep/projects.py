"""conf/flights_deep.yml on a few days."""

from pathlib import Path
from typing import Any

from e2e.project import Project, land_flights, project

CONF = Path(__file__).parents[2] / "conf" / "flights_deep.yml"
NET = {"kind": "tabular_net", "hidden": [32, 16], "epochs": 4, "batch": 256, "learning_rate": 0.005}


def flights_deep(root: Path, **options: Any) -> Project:
    """The product's own conf with a small net, and two days of each of three months."""
    made = project(root, "flights_deep")
    made.conf.write_bytes(CONF.read_bytes())

    def small(conf: Any) -> None:
        model = conf["models"]["late_arrival_net"]
        model["candidates"] = [{**NET, **options}]
        model["gates"] = [{"metric": "roc_auc", "min": 0.5}]

    made.change(small)
    land_flights(made, months=(1, 2, 3), days=(1, 2))
    return made
