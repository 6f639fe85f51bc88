"""Kill the refresh of a table at each of its points; run again; nothing differs, and every row has one fate."""

from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest
from e2e.project import Project
from e2e.shop import SEED, deliveries, log, shop

from crash.trials import Evidence, evidence, unlike
from pipelines.crash import VARIABLE

pytestmark = [pytest.mark.spark, pytest.mark.crash]

FIRST = ("after the lock", "after the intent", "before the clean commit", "between clean and quarantine")
SECOND = (
    *("before the batch is whole", "between columns and rows", "between clean and deleted", "before judging"),
    *("between results and publication", "before the run record", "after the run record"),
)
WHERE = " @ tables.customers_then"
GROWN = '{"id": "k3", "at": 99, "op": "upsert", "name": "Cy", "color": "red"}\n'
TORN = '{"id": "k1", "at": \n{"id": "k2", "at": 3, "op": "upsert"}\n'  # one cannot be read, one has no name


def landed(root: Path) -> Project:
    made = shop(root)
    made.change(lambda conf: conf["sources"]["log"].update(on_schema_change="add_columns"))
    made.land("log/0.json", deliveries(log(SEED), SEED, 2)[0] + TORN)
    return made


def arrive(made: Project) -> None:
    made.land("log/1.json", deliveries(log(SEED), SEED, 2)[1] + TORN + GROWN)


@pytest.fixture(scope="module")
def undisturbed(spark, tmp_path_factory: pytest.TempPathFactory) -> tuple[Evidence, Evidence]:
    made = landed(tmp_path_factory.mktemp("undisturbed"))
    assert made.lakeloom("run").error == ""
    first = evidence(made)
    arrive(made)
    assert made.lakeloom("run").error == ""
    return first, evidence(made)


def kills(made: Project, points: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    for point in points:
        yield point, made.lakeloom_apart("run", **{VARIABLE: point + WHERE}).code


def test_a_table_killed_at_each_of_its_points_ends_as_if_undisturbed(undisturbed, tmp_path):
    made = landed(tmp_path)
    assert list(kills(made, FIRST)) == [(point, -SIGKILL) for point in FIRST]
    assert made.lakeloom("run").error == ""
    assert unlike(made, undisturbed[0]) == ""

    arrive(made)
    assert list(kills(made, SECOND)) == [(point, -SIGKILL) for point in SECOND]
    assert made.lakeloom("run").error == ""

    assert unlike(made, undisturbed[1]) == ""
    assert "nothing to do" in made.lakeloom("run").out
