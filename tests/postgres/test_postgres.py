"""A table of a real database as a source: by its increment, late rows by the overlap, and no secret anywhere."""

import os
from pathlib import Path
from signal import SIGKILL

import pytest
from e2e.project import Project, Said, project

from pipelines import pii
from pipelines.crash import VARIABLE
from postgres.server import CANARY, USER

pytestmark = [pytest.mark.spark, pytest.mark.postgres]

KEY = "0123456789abcdef0123456789abcdef"
COLUMNS = "id int, revision int, amount numeric, at timestamptz"
TARGET = (
    "{{master: 'local[2]', driver_memory: 1g, connections: {{shop: "
    "{{kind: postgres, url: '{url}', user: '${{env:SHOP_USER}}', password: '${{env:SHOP_PASSWORD}}'}}}}}}"
)


@pytest.fixture
def orders(spark, database, tmp_path: Path, monkeypatch) -> Project:
    """One keyed table of one table of the database, by its integer revision; it has three rows."""
    monkeypatch.setenv("SHOP_USER", USER)
    monkeypatch.setenv("SHOP_PASSWORD", CANARY)
    made = project(tmp_path, "orders")
    (made.root / "conf" / "targets" / "local.yml").write_text(TARGET.format(url=database.url))
    table = database.table(COLUMNS)
    database.do(f"INSERT INTO {table} VALUES (1, 10, 1.5, '2024-01-01 12:00+02'), (2, 20, 2, NULL), (3, 30, 3, NULL)")
    source = {"kind": "jdbc", "connection": "shop", "table": f"public.{table}", "increment_by": "revision"}
    made.write(
        sources={"raw": {**source, "schema": "id INT, revision INT, amount DECIMAL(9,2), at TIMESTAMP"}},
        tables={
            "orders": {
                **{"from": "raw", "keys": ["id"], "sequence_by": "revision"},
                "select": "SELECT id, revision, amount, at FROM raw",
            }
        },
    )
    return made


def table(made: Project) -> str:
    (line,) = [text for text in made.conf.read_text().splitlines() if "table: public" in text]
    return line.partition(":")[2].strip()


def set_source(made: Project, **keys: object) -> None:
    made.change(lambda conf: conf["sources"]["raw"].update(keys))


def found(made: Project) -> list[tuple[int, int]]:
    return sorted((r["id"], r["revision"]) for r in made.published("tables.orders"))


def counts(made: Project) -> dict[str, int]:
    return {k: v for k, v in made.records("tables.orders")[-1].counts.items() if v}


def ran(said: Said) -> None:
    assert (said.error, said.code) == ("", 0), said.err


def test_rows_come_once_by_their_increment(orders, database):
    assert "3 new rows of raw" in orders.lakeloom("plan").out

    ran(orders.lakeloom("run"))

    assert found(orders) == [(1, 10), (2, 20), (3, 30)]
    (first,) = [r for r in orders.published("tables.orders") if r["id"] == 1]
    assert (str(first["amount"]), first["at"].isoformat()) == ("1.50", "2024-01-01T10:00:00+00:00")
    assert "nothing to do" in orders.lakeloom("run").out
    database.do(f"UPDATE {table(orders)} SET revision = 40 WHERE id = 1", f"INSERT INTO {table(orders)} VALUES (4, 41)")
    ran(orders.lakeloom("run"))
    assert found(orders) == [(1, 40), (2, 20), (3, 30), (4, 41)]
    assert counts(orders) == {"rows_in": 2, "applied": 2}


def test_a_row_committed_late_is_found_by_the_overlap(orders, database):
    set_source(orders, overlap=15)
    late = database.connect()
    late.execute(f"INSERT INTO {table(orders)} VALUES (5, 25)")  # not committed while 30 is read
    ran(orders.lakeloom("run"))
    late.commit()
    late.close()
    assert "what lies behind the last row of raw changed from 2 to 3 rows" in orders.lakeloom("plan").out

    ran(orders.lakeloom("run"))

    assert found(orders) == [(1, 10), (2, 20), (3, 30), (5, 25)]
    assert counts(orders) == {"rows_in": 3, "applied": 1, "superseded": 2}
    assert "nothing to do" in orders.lakeloom("run").out


def test_an_overlap_is_a_length_behind_a_time(orders, database):
    name = table(orders)
    database.do(f"UPDATE {name} SET at = '2024-01-01 00:00+00'::timestamptz + id * interval '1 hour'")
    set_source(orders, increment_by="at", overlap="90 minutes")
    ran(orders.lakeloom("run"))
    database.do(f"INSERT INTO {name} VALUES (6, 1, 1, '2024-01-01 02:30+00'), (7, 1, 1, '2024-01-01 01:15+00')")

    ran(orders.lakeloom("run"))

    assert [r[0] for r in found(orders)] == [1, 2, 3, 6]  # 7 lies further behind than the overlap
    assert counts(orders) == {"rows_in": 3, "applied": 1, "superseded": 2}
    assert [i.inputs["raw"]["upto"] for i in orders.intents("tables.orders")] == ["2024-01-01 03:00:00+00"] * 2


def test_a_full_refresh_that_would_lose_rows_is_refused_and_leaves_no_trace(orders, database):
    ran(orders.lakeloom("run"))
    database.do(
        f"DELETE FROM {table(orders)} WHERE id = 2",
        f"UPDATE {table(orders)} SET revision = 40 WHERE id = 1",
        f"INSERT INTO {table(orders)} VALUES (4, 41), (5, 42)",
    )
    anew = ("run", "--full-refresh", "tables.orders")

    refused = orders.lakeloom(*anew)

    lost = "tables.orders: a full refresh would lose 1 row that raw no longer holds"
    assert (refused.code, refused.error) == (3, f"{lost}; let them go by `--allow-loss tables.orders`")
    assert found(orders) == [(1, 10), (2, 20), (3, 30)]
    ran(orders.lakeloom("run"))
    assert found(orders) == [(1, 40), (2, 20), (3, 30), (4, 41), (5, 42)]
    allowed = orders.lakeloom(*anew, "--allow-loss", "tables.orders")
    assert "1 lost as allowed" in allowed.out
    assert found(orders) == [(1, 40), (3, 30), (4, 41), (5, 42)]
    assert counts(orders) == {"rows_in": 4, "applied": 4, "lost_rows": 1}


def test_persons_in_a_database_are_guarded_as_they_are_read(orders, database, monkeypatch):
    monkeypatch.setenv(pii.VARIABLE, KEY)
    set_source(orders, pii={"id": "tokenize", "at": "redact"})
    database.do(f"INSERT INTO {table(orders)} VALUES (424242, 40, 12345678901, NULL)")  # too great for its type

    ran(orders.lakeloom("run"))

    kept = sorted((r["revision"], r["id"], r["at"]) for r in orders.published("tables.orders"))
    assert kept == [(10 * i, pii.token(str(i), KEY.encode()), None) for i in (1, 2, 3)]
    assert [r["_record"] for r in orders.rows("tables.orders", "quarantine")] == [pii.REMOVED]


def test_a_killed_batch_is_not_read_a_second_time_for_the_database_has_moved_on(orders, database):
    database.do(f"UPDATE {table(orders)} SET amount = 12345678901 WHERE id = 3")  # too great for its declared type
    crash = {VARIABLE: "between clean and quarantine"}
    killed = orders.lakeloom_apart("run", **crash)
    assert killed.code == -SIGKILL
    database.do(f"DELETE FROM {table(orders)}", f"INSERT INTO {table(orders)} VALUES (9, 30)")

    ran(orders.lakeloom("run"))

    assert found(orders) == [(1, 10), (2, 20)]
    (refused,) = orders.rows("tables.orders", "quarantine")
    assert (refused["_reasons"], refused["_file"]) == (["malformed record"], f"shop/{table(orders)}")
    assert '"id":3' in refused["_record"] and "12345678901" in refused["_record"]
    assert counts(orders) == {"rows_in": 3, "applied": 2, "quarantined": 1}
    assert len(orders.records("tables.orders")) == 1
    nowhere_the_secret(orders, killed)


def test_what_is_written_while_it_is_read_is_not_half_read(orders, database, monkeypatch):
    from pipelines import staging

    write = staging.write

    def meanwhile(*given):
        database.do(f"INSERT INTO {table(orders)} VALUES (8, 5)", f"DELETE FROM {table(orders)} WHERE id = 1")
        return write(*given)

    monkeypatch.setattr(staging, "write", meanwhile)
    ran(orders.lakeloom("run"))

    assert found(orders) == [(1, 10), (2, 20), (3, 30)]  # one snapshot, and as many as were counted in it


def test_a_wrong_password_is_one_sentence_without_it(orders, monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", f"{CANARY}-wrong")

    said = orders.lakeloom("run")

    url = (orders.root / "conf" / "targets" / "local.yml").read_text().partition("url: '")[2].partition("'")[0]
    assert (said.code, said.error) == (1, f'connection shop: {url}: password authentication failed for user "***"')
    assert CANARY not in said.out + said.err


def test_a_secret_that_is_not_there_is_one_sentence(orders, monkeypatch):
    monkeypatch.delenv("SHOP_PASSWORD")

    said = orders.lakeloom("run")

    missing = "there is no environment variable SHOP_PASSWORD; export SHOP_PASSWORD=..."
    assert (said.code, said.error) == (1, f"connection shop: {missing}")


def nowhere_the_secret(made: Project, *said: Said) -> None:
    files = [path for path in made.root.rglob("*") if path.is_file()]
    assert len(files) > 10 and CANARY in os.environ["SHOP_PASSWORD"]
    assert CANARY not in "".join(s.out + s.err for s in said)
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_the_secret_is_in_no_log_record_table_or_message(orders, database):
    database.do(f"ALTER TABLE {table(orders)} RENAME amount TO price")
    broken = orders.lakeloom("run")
    database.do(f"ALTER TABLE {table(orders)} RENAME price TO amount")
    worked = orders.lakeloom("run")
    report = orders.lakeloom("report")

    assert (broken.code, worked.code) == (2, 0), broken.err + worked.err
    nowhere_the_secret(orders, broken, worked, report)


@pytest.mark.parametrize(
    ("wrong", "code", "sentence"),
    [
        (
            {"increment_by": "amount"},
            2,
            "sources.raw: increment_by amount is numeric; an integer, date or timestamp rises",
        ),
        ({"table": "public.nowhere"}, 2, "sources.raw: public.nowhere is not there, or its user may not read it"),
        (
            {"schema": "id INT, revision INT, cost INT, amount INT, at TIMESTAMP"},
            2,
            "sources.raw: {table} has no column 'cost'; it has id, revision, amount, at",
        ),
        (
            {"increment_by": "at"},
            3,
            "tables.orders: a row of {table} has no at, so nothing says when it is new; "
            "give it one, or make the column NOT NULL",
        ),
    ],
    ids=["no increment", "no table", "no column", "no value"],
)
def test_what_cannot_be_read_is_one_sentence(orders, wrong, code, sentence):
    name = table(orders)
    set_source(orders, **wrong)

    said = orders.lakeloom("run")

    assert (said.code, said.error) == (code, sentence.format(table=name))
