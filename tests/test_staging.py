"""A staged batch: one pass splits it by fate, its footers count it."""

import pytest

from pipelines import adopt, staging

pytestmark = pytest.mark.spark

LONG = "k" * 100  # a shorter text in the footer would hide rows from a MERGE
DDL = "k string, n int, d double, fate string"
ROWS = [
    ("b", 3, 0.5, "clean"),
    ("é", -2, None, "clean"),
    (f"{LONG}2", 7, 1.5, "clean"),
    ("b", 4, 2.5, "clean"),
    (None, None, None, "drop"),
    ("a", None, 0.1, "quarantine"),
]


@pytest.fixture(scope="module")
def staged(frame, tmp_path_factory):
    place = str(tmp_path_factory.mktemp("staging") / "flights")
    staging.write(frame([("old", 1, 1.0, "clean"), ("old", 1, 1.0, "other")], DDL), place, "fate")
    return staging.write(frame(ROWS, DDL), place, "fate")


def test_footers_count_each_fate_of_the_last_batch(staged):
    assert {fate: staged.of(fate) for fate in ("clean", "drop", "quarantine", "other")} == {
        "clean": 4, "drop": 1, "quarantine": 1, "other": 0,
    }  # fmt: skip
    assert staged.rows == 6


def test_rows_into_which_others_are_merged_lie_in_small_files(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "MOST_A_FILE", 4)
    rows = spark.range(10).coalesce(1).selectExpr("id", "'clean' AS fate")

    staged = staging.write(rows, str(tmp_path / "small"), "fate", keyed=True)

    assert sorted(f.num_rows for f in staged.footers["clean"].values()) == [2, 4, 4]
    assert len(staging.write(rows, str(tmp_path / "one"), "fate").footers["clean"]) == 1


def test_a_fate_is_read_as_it_was_written(staged, spark):
    clean = staged.read(spark, "clean")

    assert clean.dtypes == [("k", "string"), ("n", "int"), ("d", "double")]
    assert sorted(map(tuple, clean.collect())) == sorted(row[:3] for row in ROWS[:4])
    assert staged.read(spark, "other").dtypes == clean.dtypes
    assert staged.read(spark, "other").collect() == []


@pytest.mark.parametrize(
    ("fate", "column", "bounds"),
    [
        ("clean", "k", ("b", "é")),
        ("clean", "n", (-2, 7)),
        ("clean", "d", (None, None)),  # neither text nor integer
        ("drop", "k", (None, None)),  # nothing but null
        ("other", "k", (None, None)),
        ("clean", "nowhere", (None, None)),
    ],
)
def test_bounds_come_from_the_footers(staged, fate, column, bounds):
    assert staged.bounds(fate, column) == bounds


def test_a_long_text_is_not_cut_in_its_bounds(frame, tmp_path):
    staged = staging.write(
        frame([(f"{LONG}1", "clean"), (f"{LONG}2", "clean")], "k string, fate string"), str(tmp_path / "t"), "fate"
    )

    assert staged.bounds("clean", "k") == (f"{LONG}1", f"{LONG}2")


@pytest.mark.parametrize(
    ("fate", "columns", "distinct"),
    [("clean", ["k"], 3), ("clean", ["k", "n"], 4), ("drop", ["k"], 1), ("other", ["k"], 0)],
)
def test_distinct_keys_are_counted_without_spark(staged, fate, columns, distinct):
    assert staged.distinct(fate, columns) == distinct


def test_too_many_keys_are_left_to_spark(staged, monkeypatch):
    monkeypatch.setattr(staging, "MOST_ROWS_HERE", 3)

    assert staged.distinct("clean", ["k"]) is None
    assert staged.distinct("drop", ["k"]) == 1


def test_a_batch_that_was_staged_to_its_end_is_found_as_it_was_written(spark, frame, tmp_path):
    place = str(tmp_path / "t")
    written = staging.write(frame(ROWS, DDL), place, "fate")
    before = staging.resumed(place, "fate")
    staging.complete(written, {"rows_in": 6})

    found = staging.resumed(place, "fate")

    assert before is None
    assert found is not None
    again, counts = found
    assert counts == {"rows_in": 6}
    assert (again.schema, again.rows, again.of("clean")) == (written.schema, 6, 4)
    assert sorted(map(tuple, again.read(spark, "clean").collect())) == sorted(row[:3] for row in ROWS[:4])
    next((tmp_path / "t" / "fate=drop").glob("*.parquet")).unlink()
    assert staging.resumed(place, "fate") is None  # a part of it is gone


def test_an_empty_batch_keeps_its_schema(spark, frame, tmp_path):
    place = str(tmp_path / "t")
    staging.complete(staging.write(frame([], DDL), place, "fate"), {"rows_in": 0})

    found = staging.resumed(place, "fate")

    assert found is not None
    assert found[0].read(spark, "clean").dtypes == [("k", "string"), ("n", "int"), ("d", "double")]


def test_a_batch_that_is_staged_again_is_not_whole_before_its_end(frame, tmp_path):
    place = str(tmp_path / "t")
    staging.complete(staging.write(frame(ROWS, DDL), place, "fate"), {})

    staging.write(frame(ROWS, DDL), place, "fate")

    assert staging.resumed(place, "fate") is None


def test_a_batch_is_removed_once_and_for_all(frame, tmp_path):
    place = str(tmp_path / "t")
    staging.write(frame([("a", "clean")], "k string, fate string"), place, "fate")

    adopt.remove(place)
    adopt.remove(place)

    assert not (tmp_path / "t").exists()
