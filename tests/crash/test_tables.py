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


SHOUTED = "SELECT id, at, op, IF(op = 'delete', NULL, upper(name)) AS name FROM log"
WITHIN = "before the clean commit @ tables.customers"


def shouts(made: Project) -> None:
    made.change(lambda conf: [table.update(select=SHOUTED) for table in conf["tables"].values()])


@pytest.mark.long
def test_a_batch_that_was_cut_off_is_never_made_by_two_selects(spark, tmp_path):
    fresh, first, second = (landed(tmp_path / name) for name in ("fresh", "first", "second"))
    shouts(fresh)
    assert fresh.lakeloom("run").error == ""
    assert first.lakeloom_apart("run", **{VARIABLE: WITHIN}).code == -SIGKILL
    shouts(first)

    assert first.lakeloom("run").error == ""

    assert first.content() == fresh.content()
    assert second.lakeloom("run").error == ""
    for made in (fresh, second):
        arrive(made)
    assert fresh.lakeloom("run").error == ""
    assert second.lakeloom_apart("run", **{VARIABLE: WITHIN}).code == -SIGKILL
    shouts(second)
    refused = second.lakeloom("run")
    assert (refused.code, "--full-refresh tables.customers" in refused.error) == (2, True), refused.error
    anew = ("--full-refresh", "tables.customers", "--full-refresh", "tables.customers_then")
    assert second.lakeloom("run", *anew).error == ""
    assert rows(second) == rows(fresh)


def rows(made: Project) -> list[list[tuple[object, ...]]]:
    """What each table has, but for its bookkeeping."""
    shown = ("id", "at", "name", "color", "valid_from", "valid_to")
    return [
        sorted(tuple(str(row.get(c)) for c in shown) for row in made.published(f"tables.{name}"))
        for name in ("customers", "customers_then")
    ]
