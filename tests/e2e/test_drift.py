"""Files whose columns are not the schema's, by policy and format: each row in exactly one of table and quarantine.

All cases of the table below are tables of one pipeline, which one run makes.
"""

import json
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2e.project import Project, Said, project
from pipelines import tables

pytestmark = pytest.mark.spark

SCHEMA = "id INT, amount INT, note STRING"
KINDS = {"id": pa.int32(), "amount": pa.int32()}
FORMATS, POLICIES = ("csv", "json", "parquet"), ("fail", "add_columns", "quarantine")
GOOD = [{"id": 1, "amount": 10, "note": "a"}, {"id": 2, "amount": 20, "note": "b"}]
CASES: dict[str, list[dict[str, Any]]] = {  # what the other file of the batch holds
    "add": [{"id": 3, "amount": 30, "note": "c", "color": "red"}, {"id": 4, "amount": 40, "note": "d", "color": None}],
    "drop": [{"id": 3, "amount": 30}, {"id": 4, "amount": 40}],
    "rename": [{"id": 3, "amount": 30, "notes": "c"}, {"id": 4, "amount": 40, "notes": "d"}],
    "retype": [{"id": 3, "amount": "thirty", "note": "c"}, {"id": 4, "amount": "40.5", "note": "d"}],
    "reorder": [{"note": "c", "amount": 30, "id": 3}, {"note": "d", "amount": 40, "id": 4}],
}
IN, OUT, GROWS, MALFORMED = "in the table", "quarantined", "in the table, which grows", "malformed, line by line"
STOPS = "stops the table"
OUTCOMES = {  # (case, format) -> what becomes of it under each of POLICIES
    ("add", "csv"): (STOPS, GROWS, OUT),
    ("add", "json"): (IN, GROWS, OUT),  # a key that is not declared is ignored
    ("add", "parquet"): (STOPS, GROWS, OUT),
    ("drop", "csv"): (STOPS, STOPS, OUT),
    ("drop", "json"): (STOPS, STOPS, OUT),  # an object may leave keys out, but not all of a file the same
    ("drop", "parquet"): (STOPS, STOPS, OUT),
    ("rename", "csv"): (STOPS, STOPS, OUT),
    ("rename", "json"): (STOPS, STOPS, OUT),
    ("rename", "parquet"): (STOPS, STOPS, OUT),
    ("retype", "csv"): (MALFORMED,) * 3,
    ("retype", "json"): (MALFORMED,) * 3,
    ("retype", "parquet"): (STOPS, STOPS, OUT),
    ("reorder", "csv"): (IN,) * 3,
    ("reorder", "json"): (IN,) * 3,
    ("reorder", "parquet"): (IN,) * 3,
}
RENAMED = "has 'notes', which the schema has not and lacks 'note' (did you mean 'note' by 'notes'?)"
WORDS = {
    "add": "has 'color', which the schema has not",
    "drop": "lacks 'note'",
    "rename": RENAMED,
    "retype": "has 'amount' as STRING, which the schema has as INT",
}
KEYS = {**WORDS, "rename": "lacks 'note' (did you mean 'note' by 'notes'?)"}  # of JSON
WHERE = {"csv": "the header", "json": "every record", "parquet": "the footer"}
ALL = [(case, form, policy) for case, form, policy in product(CASES, FORMATS, POLICIES)]


def written(form: str, rows: list[dict[str, Any]]) -> bytes:
    """A file of these rows, its columns in the order of the first."""
    names = list(rows[0])
    if form == "csv":
        lines = [",".join("" if row[n] is None else str(row[n]) for n in names) for row in rows]
        return "\n".join([",".join(names), *lines, ""]).encode()
    if form == "json":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    text = isinstance(rows[0]["amount"], str)
    kinds = [(n, pa.string() if text and n == "amount" else KINDS.get(n, pa.string())) for n in names]
    file = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), file)
    return file.getvalue()


def source(form: str, policy: str, path: str, schema: str = SCHEMA) -> dict[str, Any]:
    said = {"kind": "files", "format": form, "path": path, "schema": schema, "on_schema_change": policy}
    return said if policy != "fail" else {k: v for k, v in said.items() if k != "on_schema_change"}


@dataclass(frozen=True)
class Story:
    """One run over every case, and a second one."""

    project: Project
    first: Said
    again: Said
    files_before: dict[str, tuple[int, int]]
    files_after: dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = project(tmp_path_factory.mktemp("drift"), "drift")
    sources, tables = {}, {}
    for case, form, policy in ALL:
        name = f"{case}_{form}_{policy}"
        sources[f"{name}_raw"] = source(form, policy, name)
        tables[name] = {"from": f"{name}_raw", "select": f"SELECT id, amount, note FROM {name}_raw"}
        made.land(f"{name}/good.{form}", written(form, GOOD))
        made.land(f"{name}/other.{form}", written(form, CASES[case]))
    made.write(sources=sources, tables=tables)
    first, before = made.lakeloom("run"), data(made)
    return Story(made, first, made.lakeloom("run"), before, data(made))


def data(made: Project) -> dict[str, tuple[int, int]]:
    """Every file but those of locks, which tell who looked."""
    return {path: seen for path, seen in made.files().items() if "/_locks/" not in path}


def shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what begins with _, by id."""
    return sorted(({k: v for k, v in r.items() if not k.startswith("_")} for r in rows), key=lambda r: r["id"])


def expected(case: str, outcome: str) -> list[dict[str, Any]]:
    """The rows of the table."""
    if outcome in (OUT, MALFORMED):
        return GOOD
    names = ("id", "amount", "note") if outcome == IN else tuple(dict.fromkeys((*GOOD[0], *CASES[case][0])))
    return [{n: row.get(n) for n in names} for row in (*GOOD, *CASES[case])]


@pytest.mark.parametrize(("case", "form", "policy"), ALL)
def test_each_row_is_in_exactly_one_of_table_and_quarantine(story, case, form, policy):
    name, outcome = f"{case}_{form}_{policy}", OUTCOMES[case, form][POLICIES.index(policy)]
    stage = f"tables.{name}"
    refused = story.project.rows(stage, "quarantine")

    if outcome == STOPS:
        file, words = story.project.landing / name / f"other.{form}", (KEYS if form == "json" else WORDS)[case]
        assert f"{file}: {WHERE[form]} {words}; mend the file or the source's schema" in story.first.out
        assert refused == story.project.rows(stage) == []
        assert [(r.status, list(r.detail["files"])) for r in story.project.records(stage)] == [("failed", [str(file)])]
        return

    assert shown(story.project.published(stage)) == expected(case, outcome)
    whole = outcome in (OUT, MALFORMED)
    drift = f"schema drift: {(KEYS if form == 'json' else WORDS).get(case)}"
    why = "malformed record" if outcome == MALFORMED else drift
    assert [r["_reasons"] for r in refused] == [[why]] * 2 * whole
    lines = written("csv" if form == "csv" else "json", CASES[case]).decode().splitlines()[form == "csv" :]
    held = [r["_record"] for r in refused]
    if form == "csv" or not whole:
        assert sorted(held) == sorted(lines * whole)
    else:
        assert sorted(map(_object, held)) == sorted(map(_object, lines))
    counts = [r.counts for r in story.project.records(stage)]
    assert [(c["rows_in"], c["applied"], c["quarantined"]) for c in counts] == [(4, 4 - len(refused), len(refused))]


def _object(text: str) -> str:
    """A record without its nulls, which Parquet's have not as JSON."""
    return repr(sorted((k, v) for k, v in json.loads(text).items() if v is not None))


def test_the_same_files_add_nothing_when_they_are_run_again(story):
    assert story.again.code == 3  # those that were stopped are stopped again, and wrote nothing
    assert story.files_after == story.files_before


@dataclass(frozen=True)
class Growing:
    """Two tables that get columns, batch by batch: one keeps the newest row of a key, one all of them."""

    project: Project
    planned: Said
    grown: Said


BATCHES = (
    "id,at,amount\n1,2024-01-01 00:00:00,10\n2,2024-01-01 00:00:00,20\n",
    "color,id,at,amount\nred,2,2024-01-02 00:00:00,21\nblue,3,2024-01-02 00:00:00,-1\n,4,2024-01-02 00:00:00,40\n",
    "id,amount,at\n1,11,2024-01-03 00:00:00\n",
    "id,at,amount,size,color\n5,2024-01-04 00:00:00,50,L,green\n",
)
RULE = {"expect_column_values_to_be_between": {"column": "amount", "min_value": 0}, "on_fail": "quarantine"}


@pytest.fixture(scope="module")
def growing(spark, tmp_path_factory: pytest.TempPathFactory) -> Growing:
    made, said = project(tmp_path_factory.mktemp("grow"), "orders"), []
    table = {"from": "raw", "select": "SELECT * FROM raw", "keys": ["id"], "sequence_by": "at", "expect": [RULE]}
    made.write(
        sources={"raw": source("csv", "add_columns", "raw", "id INT, at TIMESTAMP, amount INT")},
        tables={
            "orders": {**table, "event_time": "at"},
            "past": {**deepcopy(table), "stored_as_scd_type": 2},
            "view": {"select": "SELECT * FROM orders"},
        },
        features={"seen": {"spine": "orders", "keys": ["id"], "as_of_time": "at", "columns": ["amount"]}},
    )
    for number, lines in enumerate(BATCHES):
        made.land(f"raw/{number}.csv", lines)
        said += [made.lakeloom("plan"), made.lakeloom("run")]
        assert said[-1].error == ""
    return Growing(made, *said[2:4])


def test_plan_and_run_say_which_columns_are_added(growing):
    assert "1 new file of raw, 0.0 MB; adds column color" in growing.planned.out
    assert "adds column color (STRING) to the table" in growing.grown.err


@pytest.mark.parametrize("name", ["orders", "past"])
def test_a_table_grows_by_what_files_add_and_keeps_the_rows_it_had(growing, name):
    rows = [r for r in growing.project.published(f"tables.{name}") if r.get("valid_to") is None]

    assert sorted((r["id"], r["amount"], r["color"], r["size"]) for r in rows if r["id"] != 3) == [
        (1, 11, None, None),
        (2, 21, "red", None),
        (4, 40, None, None),
        (5, 50, "green", "L"),
    ]
    added = [r.inputs["raw"].get("added") for r in growing.project.records(f"tables.{name}") if "raw" in r.inputs]
    assert added == [None, ["color"], ["color"], ["color", "size"]]


def test_what_stands_on_a_table_that_grew_goes_on(growing):
    view, features = growing.project.published("tables.view"), growing.project.published("features.seen")

    assert {"color", "size"} <= set(view[0])
    assert {1, 2, 4, 5} <= {r["id"] for r in features}


@pytest.mark.parametrize("name", ["orders", "past"])
def test_a_refused_row_keeps_what_was_added_and_takes_it_along_when_it_is_let_in(growing, name):
    [refused] = growing.project.rows(f"tables.{name}", "quarantine")
    assert json.loads(refused["_record"])["color"] == "blue"
    assert not {"color", "size"} & set(refused)
    mended = growing.project.root / "mended.json"
    mended.write_text(json.dumps({"_hash": refused["_hash"], "_record": refused["_record"].replace("-1", "1")}))

    said = growing.project.lakeloom("quarantine replay", f"tables.{name}", "--repaired", str(mended))

    assert said.error == ""
    three = [r for r in growing.project.published(f"tables.{name}") if r["id"] == 3]
    assert [(r["amount"], r["color"], r["size"]) for r in three] == [(1, "blue", None)]


@pytest.fixture
def prices(spark, tmp_path: Path) -> Project:
    """A table of one row, that may get columns; its select makes one called `double`."""
    made = project(tmp_path, "prices")
    made.write(
        sources={"raw": source("csv", "add_columns", "raw", "id INT, price INT")},
        tables={"prices": {"from": "raw", "select": "SELECT id, 2 * price AS double FROM raw"}},
    )
    made.land("raw/1.csv", "id,price\n1,10\n")
    assert made.lakeloom("run").error == ""
    return made


def test_a_column_takes_no_others_place_and_the_file_may_be_mended(prices):
    file = prices.land("raw/2.csv", "id,price,Double\n2,20,7\n")

    said = prices.lakeloom("run")

    assert (said.code, said.error) == (
        3,
        "tables.prices: raw adds column 'Double', and the table's select makes one of that name; "
        "rename it where it comes from, or declare it in the source's schema",
    )
    assert shown(prices.published("tables.prices")) == [{"id": 1, "double": 20}]
    file.write_text("id,price,second\n2,20,7\n")
    prices.land("raw/3.csv", "id,price\n3,30\n")
    assert prices.lakeloom("run").error == ""
    assert shown(prices.published("tables.prices")) == [
        {"id": 1, "double": 20, "second": None},
        {"id": 2, "double": 40, "second": "7"},
        {"id": 3, "double": 60, "second": None},
    ]
    assert [(i.generation, i.batch) for i in prices.intents("tables.prices")] == [(0, 0), (0, 1)]
    assert "nothing to do" in prices.lakeloom("run").out


def test_a_run_that_ended_as_the_table_had_grown_is_gone_on_with(prices, spark):
    prices.land("raw/2.csv", "id,price,second\n2,20,7\n")
    tables.grow(spark, prices.warehouse.path("tables.prices"), {"second": "STRING"}, "cut off here")

    assert prices.lakeloom("run").error == ""

    assert [r["second"] for r in shown(prices.published("tables.prices"))] == [None, "7"]


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("id,price,a b", "'a b' cannot be added; a column has a letter, then letters, digits or _"),
        ("id,price,_file", "'_file' cannot be added; a column has a letter, then letters, digits or _"),
        ("id,price,Price", "'Price' cannot be added beside 'price'; mend the file"),
        ("id,price,c,C", "'C' cannot be added beside 'c'; mend the file"),
    ],
)
def test_what_is_no_name_of_a_column_is_not_added(prices, header, sentence):
    file = prices.land("raw/2.csv", f"{header}\n2,20{',7' * (header.count(',') - 1)}\n")

    said = prices.lakeloom("run")

    assert (said.code, said.error) == (3, f"{file}: {sentence}")


def test_a_policy_may_change_and_what_it_refused_stays_refused_until_it_is_repaired(prices):
    prices.change(lambda conf: conf["sources"]["raw"].update(on_schema_change="quarantine"))
    prices.land("raw/2.csv", "id,prize\n2,20\n3,30\n")
    assert prices.lakeloom("run").error == ""
    first, second = sorted(prices.rows("tables.prices", "quarantine"), key=lambda r: r["_record"])
    assert (first["_record"], second["_record"]) == ("2,20", "3,30")
    mended = prices.root / "mended.json"
    mended.write_text(json.dumps({"_hash": second["_hash"], "_record": "3,33"}))

    said = prices.lakeloom("quarantine replay", "tables.prices", "--repaired", str(mended))

    assert said.error == ""
    assert shown(prices.published("tables.prices")) == [{"id": 1, "double": 20}, {"id": 3, "double": 66}]
    [left] = prices.rows("tables.prices", "quarantine")
    assert (left["_record"], left["_reasons"]) == ("2,20", first["_reasons"])
