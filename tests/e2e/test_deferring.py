"""A branch on a target that defers to another: it reads what the other published, and writes nothing there."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from e2e.parcels import A_DAY, DAYS, arrive, parcels
from e2e.project import WHEN_AND_WHERE, Project, checksum, rows_of
from pipelines.state import Warehouse

pytestmark = pytest.mark.spark

DEV = """
master: local[2]
driver_memory: 1g
warehouse: .lakeloom/dev/warehouse
tracking: sqlite:///.lakeloom/dev/mlflow.db
artifacts: .lakeloom/dev/artifacts
defer_to: local
"""
NAMED = """
master: local[2]
driver_memory: 1g
warehouse: .lakeloom/named/warehouse
artifacts: .lakeloom/named/artifacts
namespace: named
defer_to: local
"""
ROWS = A_DAY * DAYS


class Branch:
    """One project, run on its target `local` before and on `dev` in the tests."""

    def __init__(self, made: Project) -> None:
        self.made, self.own = made, Warehouse(str(made.root / ".lakeloom" / "dev" / "warehouse"), made.name)
        (made.root / "conf" / "targets" / "dev.yml").write_text(DEV)

    def run(self, verb: str = "run", *options: str) -> str:
        """What the command said on dev. Production has to be as it was."""
        before = self._others()
        said = self.made.lakeloom(verb, "--target", "dev", *options)
        assert said.error == ""
        assert self._others() == before
        return said.out + said.err

    def refused(self, verb: str, *options: str) -> str:
        return self.made.lakeloom(verb, "--target", "dev", *options).error

    def kinds(self) -> set[str]:
        """Which kinds of tables lie in dev's warehouse."""
        return {p.parents[1].name for p in Path(self.own.root, self.own.pipeline).glob("*/*/_delta_log")} - {"_locks"}

    def versions(self) -> set[int]:
        """Of models, in dev's scores."""
        return {row["model_version"] for row in rows_of(Path(self.own.path("scores.daily")))}

    def scored(self) -> int:
        return len(rows_of(Path(self.own.path("scores.daily"))))

    def scored_there(self) -> int:
        return len(self.made.rows("scores.daily"))

    def _others(self) -> dict[str, tuple[int, int]]:
        return {name: seen for name, seen in self.made.files().items() if "/.lakeloom/dev/" not in name}


@pytest.fixture(scope="module")
def branch(spark, tmp_path_factory: pytest.TempPathFactory) -> Branch:
    made = parcels(tmp_path_factory.mktemp("deferring"))
    assert made.lakeloom("run").error == ""
    return Branch(made)


def test_a_branch_trains_and_scores_on_published_tables_without_a_copy(branch):
    said = branch.run("plan")
    place = branch.made.warehouse.path("tables.parcels")
    assert f"read at version 0 from {place}" in said.replace("\n", "")

    branch.run()

    assert branch.kinds() == {"scores"}
    assert branch.scored() == branch.scored_there() > 100
    assert (branch.made.root / ".lakeloom" / "dev" / "mlflow.db").exists()
    assert "nothing to do" in branch.run()


def test_what_is_published_meanwhile_is_what_the_branch_finds_next(branch):
    arrive(branch.made, 1)
    assert branch.made.lakeloom("run").error == ""

    assert "features.sendings went from version 0 to 1" in branch.run("plan").replace("\n", "")
    branch.run()

    assert branch.scored() == branch.scored_there() > ROWS


def test_files_that_nobody_published_are_not_the_branchs_to_read(branch):
    arrive(branch.made, 2)

    assert "nothing to do" in branch.run()


def test_a_table_of_another_target_is_neither_replayed_restored_nor_backfilled_nor_searched(branch):
    where = "it is read from"
    assert where in branch.refused("restore", "tables.parcels", "--to", "any")
    assert where in branch.refused("quarantine replay", "tables.parcels")
    between = ("--from", "2026-01-01", "--to", "2026-01-02")
    assert where in branch.refused("backfill", "tables.parcels", *between)
    assert branch.run("upkeep").count("tables.parcels") == 0


def test_what_the_branch_changes_it_makes_itself_with_all_that_follows(branch):
    branch.made.change(lambda conf: conf["features"]["sendings"].update(columns=["weight"]))

    branch.run()

    assert branch.kinds() == {"features", "scores"}
    made = rows_of(Path(branch.own.path("features.sendings")))
    assert len(made) == 2 * ROWS
    assert "depot" not in made[0]
    assert 2 in branch.versions()  # the new model answered rows of a table that begins its versions anew


def test_a_full_refresh_makes_a_table_the_branchs_own(branch):
    branch.run("run", "--full-refresh", "tables.parcels")

    assert branch.kinds() == {"tables", "features", "scores"}
    assert len(rows_of(Path(branch.own.path("tables.parcels")))) == 3 * ROWS
    assert len(rows_of(Path(branch.own.path("features.sendings")))) == 3 * ROWS
    assert branch.scored() > branch.scored_there() + ROWS // 2  # the parcels that nobody else has read


def test_a_merge_and_a_run_bring_production_to_where_the_branch_is(branch):
    """The conf is the branch's; production has only to run it."""
    assert branch.made.lakeloom("run").error == ""

    for stage in ("tables.parcels", "features.sendings"):
        own, there = rows_of(Path(branch.own.path(stage))), branch.made.published(stage)
        assert checksum(there, WHEN_AND_WHERE) == checksum(own, WHEN_AND_WHERE)
    assert branch.made.models() == (2, {"champion": 2})
    assert len({row["parcel"] for row in branch.made.rows("scores.daily")}) == branch.scored_there() > ROWS


def test_a_branch_that_shares_the_server_has_models_by_names_of_its_own(branch):
    (branch.made.root / "conf" / "targets" / "named.yml").write_text(NAMED)
    before = aliases(branch.made)

    assert branch.made.lakeloom("run", "--target", "named").error == ""

    assert aliases(branch.made) == {**before, "named.parcels.late": ("champion", 1)}
    assert branch.made.lakeloom("model show", "late", "--target", "named").out.startswith("late@1")


def aliases(made: Project) -> dict[str, tuple[str, int]]:
    """By model."""
    with closing(sqlite3.connect(made.root / ".lakeloom" / "mlflow.db")) as registry:
        experiments = {name for (name,) in registry.execute("SELECT name FROM experiments")}
        found = registry.execute("SELECT name, alias, version FROM registered_model_aliases").fetchall()
    assert {name.rpartition(".")[0] for name, _, _ in found} <= experiments
    return {name: (alias, version) for name, alias, version in found}


def test_a_champion_whose_feature_is_gone_is_said_in_one_sentence_and_answers_nothing(branch):
    def hard(conf):
        conf["features"]["sendings"].update(columns=["depot"])
        conf["models"]["late"]["gates"] = [{"metric": "roc_auc", "min": 0.999}]

    branch.made.change(hard)

    said = " ".join(branch.made.lakeloom("run", "--target", "dev").out.split())

    assert "scores.daily: version 2 learned from weight, which the features no longer have" in said
