"""Bad input through the command: one sentence or a quarantined row, nothing half-published; once mended, it goes on."""

import itertools
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2e.project import WHEN_AND_WHERE, Project, Said, checksum, project
from pipelines.run import tables

pytestmark = pytest.mark.spark

SCHEMA = "id INT, revision INT, amount INT"
HEADER = "id,revision,amount\n"
POSITIVE = {"expect_column_values_to_be_between": {"column": "amount", "min_value": 0}, "on_fail": "fail"}


@pytest.fixture
def orders(spark, tmp_path: Path) -> Project:
    """Corrections go by revision; nothing with a negative amount is published; `large` stands downstream."""
    made = project(tmp_path, "orders")
    made.write(
        sources={"raw": {"kind": "files", "format": "csv", "path": "orders", "schema": SCHEMA}},
        tables={
            "orders": {
                "from": "raw",
                "keys": ["id"],
                "sequence_by": "revision",
                "select": "SELECT id, revision, amount FROM raw",
                "expect": [POSITIVE],
            },
            "large": {"select": "SELECT id FROM orders WHERE amount >= 100"},
        },
    )
    made.land("orders/1.csv", HEADER + "1,1,10\n2,1,200\n")
    return made


def found(orders: Project) -> list[tuple[int, int, int]]:
    return sorted((r["id"], r["revision"], r["amount"]) for r in orders.published("tables.orders"))


def why(orders: Project, *argv: str) -> dict[str, str]:
    return {line["stage"]: line["why"] for line in json.loads(orders.lakeloom("plan", *argv, "--format", "json").out)}


def refused(orders: Project, said: Said, sentence: str) -> None:
    """Exit 3, one sentence, no traceback, and readers see what they saw before."""
    assert (said.code, said.error) == (3, sentence)
    assert "Traceback" not in said.err
    assert found(orders) == [(1, 1, 10), (2, 1, 200)]
    assert [r["id"] for r in orders.published("tables.large")] == [2]


def test_rows_that_are_not_accounted_for_end_the_run_and_nothing_is_published(orders, monkeypatch):
    """Of the witnesses the one that counts what was applied is made to lie, after the commit."""
    assert orders.lakeloom("run").error == ""
    orders.land("orders/2.csv", HEADER + "3,1,30\n")
    honest = tables.apply
    with monkeypatch.context() as lie:
        lie.setattr(tables, "apply", lambda *given: replace(done := honest(*given), applied=done.applied + 1))
        said = orders.lakeloom("run")

    assert (said.code, found(orders)) == (70, [(1, 1, 10), (2, 1, 200)])
    assert "1 rows came in, and 2 are accounted for: 2 applied, 0 superseded, 0 deleted, 0 quarantined" in said.err
    assert orders.lakeloom("run").error == ""
    assert found(orders) == [(1, 1, 10), (2, 1, 200), (3, 1, 30)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "{file}: is empty; remove it, or land it again whole"),
        (
            HEADER.encode() + b"3,1,\xff\n",
            "{file}: is not UTF-8 (invalid start byte) in b'3,1,\\xff\\n'; land it again as UTF-8",
        ),
        (
            b"id,revision,price\n3,1,30\n",
            "{file}: the header has 'price', which the schema has not and lacks 'amount'; "
            "mend the file or the source's schema",
        ),
    ],
    ids=["empty", "not UTF-8", "changed header"],
)
def test_a_file_that_cannot_be_read_is_one_sentence_and_stops_only_its_table(orders, content, sentence):
    assert orders.lakeloom("run").error == ""
    file = orders.land("orders/2.csv", content)

    said = orders.lakeloom("run")

    refused(orders, said, sentence.format(file=file))
    file.write_text(HEADER + "3,1,30\n")
    assert orders.lakeloom("run").error == ""
    assert found(orders) == [(1, 1, 10), (2, 1, 200), (3, 1, 30)]


def test_all_files_that_cannot_be_taken_are_listed_and_once_mended_the_batch_goes_on(orders):
    assert orders.lakeloom("run").error == ""
    bad = [b"", HEADER.encode() + b"4,1,\xff\n", b"id,revision\n5,1\n"]
    files = [orders.land(f"orders/{n}.csv", content) for n, content in enumerate(bad, 2)]
    orders.land("orders/5.csv", HEADER + "6,1,60\n")

    said = orders.lakeloom("run")

    first = f"{files[0]}: is empty; remove it, or land it again whole"
    refused(orders, said, f"{first} (and 2 more files, which `lakeloom show` lists)")
    record = orders.records("tables.orders")[-1]
    assert (record.batch, record.status, list(record.detail["files"])) == (1, "failed", [str(f) for f in files])
    assert orders.lakeloom("run").error == said.error
    assert orders.records("tables.orders")[-1] == record  # the same is not said twice
    shown = orders.lakeloom("show").out
    assert f"{files[1]}: is not UTF-8 (invalid start byte) in b'4,1,\\xff\\n'; land it again as UTF-8" in shown
    assert f"{files[2]}: the header lacks 'amount'; mend the file or the source's schema" in shown
    assert str(files[2]) in Path(orders.lakeloom("report").out.strip()).read_text()
    orders.change(
        lambda conf: conf["tables"]["orders"].update(select="SELECT id, revision, -amount AS amount FROM raw")
    )
    assert "changed since its last refresh" in orders.lakeloom("run").error  # as if there had been no attempt
    orders.change(lambda conf: conf["tables"]["orders"].update(select="SELECT id, revision, amount FROM raw"))
    for number, file in enumerate(files):
        file.write_text(f"{HEADER}{3 + number},1,30\n")
    assert orders.lakeloom("run").error == ""
    assert [r[0] for r in found(orders)] == [1, 2, 3, 4, 5, 6]
    assert [(r.batch, r.status) for r in orders.records("tables.orders")] == [(0, "ok"), (1, "failed"), (1, "ok")]


def test_a_line_of_a_source_with_pii_is_not_kept_with_the_reason(orders):
    orders.change(lambda conf: conf["sources"]["raw"].update(pii={"amount": "redact"}))
    file = orders.land("orders/2.csv", HEADER.encode() + b"3,1,555000112233\xff\n")

    said = orders.lakeloom("run")

    assert said.error.startswith(f"{file}: is not UTF-8")
    (record,) = orders.records()
    assert list(record.detail["files"]) == [str(file)]
    assert "555000112233" not in repr(record)


def test_the_command_itself_ends_with_3_and_one_sentence(orders):
    file = orders.land("orders/2.csv", "")

    said = orders.lakeloom_apart("run")

    assert (said.code, said.error) == (3, f"{file}: is empty; remove it, or land it again whole")
    assert "Traceback" not in said.err
    (record,) = orders.records()
    assert (record.status, record.counts, record.published_version) == ("failed", {}, None)
    assert record.detail == {"files": {str(file): "is empty; remove it, or land it again whole"}}
    assert orders.intents("tables.orders") == []


def test_a_file_that_only_spark_finds_damaged_is_named_and_mended_it_goes_in(orders):
    orders.change(lambda conf: conf["sources"]["raw"].update(format="parquet"))
    (orders.landing / "orders" / "1.csv").unlink()
    whole = parquet([(1, 1, 10), (2, 1, 200)])
    place = whole.index(b"\x28\xb5\x2f\xfd")  # where zstd's first page begins
    file = orders.land("orders/1.parquet", whole[:place] + bytes(4) + whole[place + 4 :])

    said = orders.lakeloom("run")

    why = f"tables.orders: {file} is damaged, for Spark cannot read it; land it again whole"
    assert (said.code, said.error) == (3, why)
    assert orders.records() == orders.rows("tables.orders") == []
    assert orders.lakeloom("run").error == why
    file.write_bytes(whole)
    orders.land("orders/2.parquet", parquet([(3, 1, 30)]))
    assert orders.lakeloom("run").error == ""
    assert found(orders) == [(1, 1, 10), (2, 1, 200), (3, 1, 30)]


def parquet(rows: list[tuple[int, int, int]]) -> bytes:
    kinds = pa.schema([(name, pa.int32()) for name in HEADER.strip().split(",")])
    file = BytesIO()
    pq.write_table(
        pa.Table.from_pylist([dict(zip(kinds.names, r, strict=True)) for r in rows], kinds), file, compression="zstd"
    )
    return file.getvalue()


def test_a_line_that_cannot_be_read_is_quarantined_as_it_stands(orders):
    bad = ["3,1", "4,1,40,extra", "5,1,fifty", ",1,60"]
    orders.land("orders/2.csv", HEADER + "\n".join([*bad, "7,1,70"]) + "\n")

    assert orders.lakeloom("run").error == ""

    quarantine = {r["_record"]: r["_reasons"] for r in orders.rows("tables.orders", "quarantine")}
    assert quarantine == {
        **{line: ["malformed record"] for line in bad[:3]},
        '{"revision":1,"amount":60}': ["id: not be null"],
    }
    assert found(orders) == [(1, 1, 10), (2, 1, 200), (7, 1, 70)]
    assert orders.records("tables.orders")[0].counts == {
        **{"rows_in": 7, "applied": 3, "superseded": 0, "quarantined": 4, "dropped": 0, "deleted": 0},
        **{"files": 2, "duplicate_files": 0},
    }


def test_a_file_under_another_name_adds_no_row(orders):
    assert orders.lakeloom("run").error == ""
    orders.land("orders/copy.csv", (orders.landing / "orders" / "1.csv").read_bytes())

    assert orders.lakeloom("run").error == ""

    assert found(orders) == [(1, 1, 10), (2, 1, 200)]
    assert orders.records("tables.orders")[-1].counts["superseded"] == 2
    assert orders.records("tables.orders")[-1].published_version == 0
    assert [r.stage for r in orders.records()] == ["tables.orders", "tables.large", "tables.orders"]


def test_a_file_changed_after_it_was_read_is_read_again_by_key(orders):
    assert orders.lakeloom("run").error == ""
    orders.land("orders/1.csv", HEADER + "1,2,11\n2,1,200\n")

    assert orders.lakeloom("run").error == ""

    assert found(orders) == [(1, 2, 11), (2, 1, 200)]
    assert orders.records("tables.orders")[-1].counts["superseded"] == 1


def test_a_file_changed_after_it_was_read_is_refused_where_no_key_tells_its_rows(orders):
    orders.change(_without_keys)
    assert orders.lakeloom("run").error == ""
    file = orders.land("orders/1.csv", HEADER + "1,2,11\n2,1,200\n")

    said = orders.lakeloom("run")

    why = "was changed after it was read, and a table without keys cannot tell which rows are new"
    refused(orders, said, f"{file}: {why}; land it under a new name")


def _without_keys(conf) -> None:
    for key in ("keys", "sequence_by"):
        del conf["tables"]["orders"][key]


def test_a_broken_promise_keeps_readers_on_the_version_before_until_it_is_mended(orders):
    assert orders.lakeloom("run").error == ""
    orders.land("orders/2.csv", HEADER + "3,1,-30\n4,1,400\n")

    said = orders.lakeloom("run")

    assert said.error.startswith("tables.orders: version 1 is not published: amount: ")
    refused(orders, said, said.error)
    orders.land("orders/3.csv", HEADER + "3,2,30\n")
    assert orders.lakeloom("run").error == ""
    assert found(orders) == [(1, 1, 10), (2, 1, 200), (3, 2, 30), (4, 1, 400)]
    assert sorted(r["id"] for r in orders.published("tables.large")) == [2, 4]


def test_a_select_that_multiplies_rows_is_refused_and_may_be_mended(orders):
    orders.land("names/1.csv", "id,name\n1,one\n1,uno\n2,two\n")
    orders.change(_joined)

    said = orders.lakeloom("run")

    assert (said.code, said.error.partition(";")[0]) == (3, "tables.orders: its select made 3 rows of 2")
    orders.change(lambda conf: conf["tables"]["orders"].update(select="SELECT id, revision, amount FROM raw"))
    assert orders.lakeloom("run").error == ""
    assert found(orders) == [(1, 1, 10), (2, 1, 200)]
    assert "nothing to do" in orders.lakeloom("run").out


def _joined(conf) -> None:
    names = {"kind": "files", "format": "csv", "path": "names", "schema": "id INT, name STRING"}
    conf["sources"]["names_raw"] = names
    conf["tables"]["names"] = {"from": "names_raw", "select": "SELECT id, name FROM names_raw"}
    conf["tables"]["orders"]["select"] = "SELECT r.id, revision, amount FROM raw r LEFT JOIN names n ON n.id = r.id"


def test_a_changed_definition_is_refused_with_the_recipe_and_made_anew_by_it(orders):
    assert orders.lakeloom("run").error == ""
    tenfold = "SELECT id, revision, amount * 10 AS amount FROM raw"
    orders.change(lambda conf: conf["tables"]["orders"].update(select=tenfold))
    means = "; that reads 2 rows again; tables.large follows"
    assert why(orders)["tables.orders"].endswith(f"makes it anew from all that landed{means}")
    assert why(orders, "--full-refresh", "tables.orders")["tables.orders"] == f"asked for anew{means}"

    said = orders.lakeloom("run")

    assert (said.code, said.error) == (
        2,
        "tables.orders: its select or expectations changed since its last refresh; "
        "`lakeloom run --full-refresh tables.orders` makes it anew from all that landed",
    )
    assert found(orders) == [(1, 1, 10), (2, 1, 200)]
    assert orders.lakeloom("run", "--full-refresh", "tables.orders").error == ""
    assert found(orders) == [(1, 1, 100), (2, 1, 2000)]
    assert sorted(r["id"] for r in orders.published("tables.large")) == [1, 2]


def test_a_full_refresh_loses_rows_that_no_file_holds_any_more_only_where_that_is_allowed(orders):
    assert orders.lakeloom("run").error == ""
    file, anew = orders.landing / "orders" / "1.csv", ("run", "--full-refresh", "tables.orders")
    file.unlink()
    orders.land("orders/2.csv", HEADER + "3,1,300\n")

    said = orders.lakeloom(*anew)

    way_out = "land it again, or let them go by `--allow-loss tables.orders`"
    lost = f"a full refresh would lose the rows of {file} (1 file gone); {way_out}"
    refused(orders, said, f"tables.orders: {lost}")
    allowed = orders.lakeloom(*anew, "--allow-loss", "tables.orders")
    assert (allowed.error, found(orders)) == ("", [(3, 1, 300)])
    assert "loses 2 rows, as allowed, with 1 file gone" in allowed.err
    assert "2 lost as allowed, with 1 file gone" in allowed.out
    counts = orders.records("tables.orders")[-1].counts
    assert {k: counts[k] for k in ("rows_in", "lost_files", "lost_rows")} == {
        "rows_in": 1,
        "lost_files": 1,
        "lost_rows": 2,
    }
    assert orders.lakeloom(*anew).error == ""  # what was let go is not asked about again
    assert found(orders) == [(3, 1, 300)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--allow-loss", "tables.orders"),
            "--allow-loss tables.orders: only what is made anew loses rows; say --full-refresh tables.orders",
        ),
        (
            ("--full-refresh", "tables.large", "--allow-loss", "tables.large"),
            "--allow-loss tables.large: no table of a source that may refuse a loss so; leave it out",
        ),
    ],
)
def test_a_loss_is_allowed_only_where_one_would_be_refused(orders, options, sentence):
    said = orders.lakeloom("run", *options)

    assert (said.code, said.error) == (2, sentence)


def test_corrections_and_duplicates_give_the_same_table_in_every_order_of_files(spark, orders, tmp_path):
    files = (
        HEADER + "1,3,13\n3,1,30\n",
        HEADER + "1,2,12\n2,1,20\n2,1,20\n",
        HEADER + "2,1,200\n2,1,9\n3,1,31\n",  # 2 and 3: equal revisions, other content
    )
    seen = set()
    for number, order in enumerate(itertools.islice(itertools.permutations(files), 0, 6, 5)):
        again = project(tmp_path / str(number), "orders")
        again.conf.write_bytes(orders.conf.read_bytes())
        for name, content in enumerate(order):
            again.land(f"orders/{name}.csv", content)
            assert again.lakeloom("run", "--select", "tables.orders").error == ""
        seen.add(checksum(again.rows("tables.orders"), WHEN_AND_WHERE))
        assert [r[:2] for r in found(again)] == [(1, 3), (2, 1), (3, 1)]
        counts = [r.counts for r in again.records()]
        assert sum(c["rows_in"] for c in counts) == 8
        assert all(c["rows_in"] == c["applied"] + c["superseded"] for c in counts)

    assert len(seen) == 1
