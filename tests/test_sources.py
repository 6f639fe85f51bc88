"""Sources and connections as a conf and a target name them: what is refused, in which words, and what is repeated."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from pipelines.check import check
from pipelines.errors import LakeloomError, PlatformError
from pipelines.intake import KINDS, Asked, delta, files
from pipelines.intake.kafka import _limited
from pipelines.intake.servers import connection, secret
from pipelines.plan import Stage, definition
from pipelines.spec import Pipeline, Postgres, Target, load, load_lines, load_target

CANARY = "hunter2-canary"
KAFKA = "{kind: kafka, connection: events, topic: t, schema: 'id INT, at TIMESTAMP'}"
JDBC = "{kind: jdbc, connection: shop, table: public.t, increment_by: id, schema: 'id INT, at TIMESTAMP'}"
DELTA = "{kind: delta, path: t, schema: 'id INT, at TIMESTAMP'}"
SHOP = "{kind: postgres, url: 'postgresql://db:5432/shop', user: '${env:U}', password: '${env:P}'}"


def conf(folder: Path, source: str, table: str = "{from: raw, select: SELECT id FROM raw}") -> Path:
    path = folder / "conf" / "p.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"pipeline: p\nsources:\n  raw: {source}\ntables:\n  t: {table}\n")
    return path


def said(call) -> str:
    with pytest.raises(LakeloomError) as caught:
        call()
    return str(caught.value)


def flaws(folder: Path, source: str, table: str = "{from: raw, select: SELECT id FROM raw}") -> str:
    path = conf(folder, source, table)
    return said(lambda: check(*load_lines(path))).replace(f"{path}:", "")


@pytest.mark.parametrize("source", [KAFKA, JDBC, DELTA, DELTA.replace("}", ", read: changes}")])
def test_each_kind_is_read_and_holds_together(tmp_path, source):
    pipeline, lines = load_lines(conf(tmp_path, source))

    check(pipeline, lines)

    assert pipeline.sources["raw"].kind in source


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (KAFKA.replace("kafka,", "kafkaesque,"), "3: sources.raw.kind: no kind 'kafkaesque'; did you mean 'kafka'?"),
        (KAFKA.replace("topic", "topics"), "3: sources.raw.topic: missing"),
        (JDBC.replace("public.t", "t; DROP"), "3: sources.raw.table: should "),
        (JDBC.replace("public.t", "t"), "3: sources.raw.table: should "),
        (JDBC.replace("schema:", "overlap: 3 moons, schema:"), "3: sources.raw.overlap: should be a length of time"),
        (JDBC.replace("schema:", "overlap: -1, schema:"), "3: sources.raw.overlap: should be 0 or more, got -1"),
        (DELTA.replace("path: t", "path: ../t"), "3: sources.raw.path: should "),
        (DELTA.replace("path: t", "path: t, brokers: b"), "3: sources.raw.brokers: no such key"),
    ],
)
def test_what_a_source_cannot_say_is_named_with_its_line(tmp_path, source, sentence):
    path = conf(tmp_path, source)

    assert sentence in said(lambda: load(path)).removeprefix(f"{path}:")


def test_a_source_may_bear_the_name_of_its_kind(tmp_path):
    path = conf(tmp_path, KAFKA.replace("topic: t", "topic: ''"))
    path.write_text(path.read_text().replace("  raw:", "  kafka:"))

    assert said(lambda: load(path)).startswith(f"{path}:3: sources.kafka.topic: should match")


@pytest.mark.parametrize(
    ("source", "table", "sentence"),
    [
        (JDBC.replace("by: id", "by: idd"), "{from: raw, select: SELECT id FROM raw}",
         "3: sources.raw.increment_by: no column 'idd'; did you mean 'id'?"),
        (JDBC.replace("schema:", "overlap: 5, schema:"), "{from: raw, select: SELECT id FROM raw}",
         "5: tables.t: raw reads an overlap again, and without keys its rows would come twice"),
        (JDBC.replace("schema:", "overlap: 5 minutes, schema:"), "{from: raw, keys: [id], select: SELECT id FROM raw}",
         "3: sources.raw.overlap: behind id (INT) should be a number such as 1000"),
        (JDBC.replace("by: id", "by: at").replace("schema:", "overlap: 5, schema:"),
         "{from: raw, keys: [id], select: SELECT id FROM raw}",
         "3: sources.raw.overlap: behind at (TIMESTAMP) should be a length such as '10 minutes'"),
        (KAFKA.replace("id INT", "id INT, kafka_offset INT"), "{from: raw, select: SELECT id FROM raw}",
         "3: sources.raw.schema: column 'kafka_offset' is what the source says of a record; name it otherwise"),
        (DELTA, "{from: raw, select: 'SELECT id, change_type FROM raw'}",
         "5: tables.t.select: no column 'change_type'; there is id, at"),
    ],
)  # fmt: skip
def test_check_says_what_does_not_hold_together(tmp_path, source, table, sentence):
    assert flaws(tmp_path, source, table) == sentence


@pytest.mark.parametrize(
    ("source", "columns"),
    [(KAFKA, "kafka_key, kafka_partition, kafka_offset, kafka_timestamp"),
     (DELTA.replace("}", ", read: changes}"), "change_type, commit_version")],
)  # fmt: skip
def test_what_a_source_says_of_a_record_can_be_selected(tmp_path, source, columns):
    check(*load_lines(conf(tmp_path, source, f"{{from: raw, select: 'SELECT id, {columns} FROM raw'}}")))


def test_the_pace_of_a_source_is_no_part_of_a_definition(tmp_path):
    def defined(source: str) -> str:
        return definition(load(conf(tmp_path, source)), Stage("tables", "t"))

    assert defined(KAFKA) == defined(KAFKA.replace("}", ", most_records: 5, expired: skip}"))
    assert defined(JDBC) == defined(JDBC.replace("}", ", overlap: 7}"))
    assert defined(DELTA) == defined(DELTA.replace("}", ", most_records: 5}"))
    assert defined(KAFKA) != defined(KAFKA.replace("topic: t", "topic: u"))


def test_a_batch_of_files_takes_those_that_were_written_first_and_says_how_many_are_left(tmp_path):
    source = "{kind: files, format: csv, path: raw, schema: 'id INT', most_files: 2}"
    pipeline = load(conf(tmp_path, source))
    for number, name in enumerate(("c", "a", "b")):
        file = tmp_path / "raw" / f"{name}.csv"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"id\n{number}\n")
        os.utime(file, ns=(number * 10**9, number * 10**9))
    of = Asked("tables.t", pipeline.tables["t"], "raw", pipeline.sources["raw"], Target(landing=str(tmp_path)))

    first = files.take(of)
    second = files.take(replace(of, taken=(first,)))

    assert files.news(of) == "3 new files of raw, 0.0 MB, of which a batch takes 2"
    assert [[Path(f["path"]).stem for f in batch["files"]] for batch in (first, second)] == [["c", "a"], ["b"]]
    assert [batch["behind"] for batch in (first, second)] == [1, 0]


@pytest.mark.parametrize(
    ("most", "batches"),
    [
        (None, [(0, 5, 0)]),
        (12, [(0, 5, 0)]),  # all that they hold
        (6, [(0, 3, 2), (3, 4, 1), (4, 5, 0)]),  # 1 + 4 + 0 rows, then 6, then 1
        (3, [(0, 1, 4), (1, 3, 2), (3, 4, 1), (4, 5, 0)]),  # a version of more is taken alone
    ],
)
def test_a_batch_of_a_delta_table_is_so_many_versions_as_hold_its_records(tmp_path, most, batches):
    for rows in (7, 1, 4, 0, 6, 1):
        write_deltalake(f"{tmp_path}/t", pa.table({"id": pa.array(range(rows), pa.int32())}), mode="append")
    source = "{kind: delta, path: t, schema: 'id INT'}".replace("}", f", most_records: {most}}}" if most else "}")
    pipeline = load(conf(tmp_path, source))
    of = Asked("tables.t", pipeline.tables["t"], "raw", pipeline.sources["raw"], Target(landing=str(tmp_path)))
    taken = [{**delta.take(of), "upto": 0}]

    for _ in batches:
        taken.append(delta.take(replace(of, taken=tuple(taken))))

    assert [(batch["after"], batch["upto"], batch["behind"]) for batch in taken[1:]] == batches
    assert delta.news(replace(of, taken=tuple(taken))) == ""
    part = f", of which a batch takes {most} records" if most else ""
    assert delta.news(replace(of, taken=tuple(taken[:1]))) == f"versions 1 to 5 of raw{part}"


def test_a_type_that_does_not_hold_what_a_delta_table_has_is_refused_before_anything_is_read(tmp_path):
    columns = {"id": pa.array([2**40], pa.int64()), "at": pa.array([1], pa.timestamp("us", "UTC")), "n": [1.5]}
    write_deltalake(f"{tmp_path}/t", pa.table(columns))

    def taken(schema: str):
        pipeline = load(conf(tmp_path, f"{{kind: delta, path: t, schema: '{schema}'}}"))
        given = pipeline.tables["t"], "raw", pipeline.sources["raw"], Target(landing=str(tmp_path))
        return delta.take(Asked("tables.t", *given))

    assert taken("id BIGINT, at TIMESTAMP, n DOUBLE")["upto"] == 0
    sentence = f"sources.raw: {tmp_path}/t has id as BIGINT, which is not read as INT; declare it so"
    assert said(lambda: taken("n DOUBLE, id INT")) == f"{sentence}, and cast it in the select"


@pytest.mark.parametrize(
    "shop",
    [
        SHOP.replace("${env:P}", CANARY),
        SHOP.replace("'${env:P}'", "1234"),
        SHOP.replace("db:", f"loom:{CANARY}@db:"),
        SHOP.replace("/shop", f"/shop?password={CANARY}"),
        SHOP.replace("password:", f"pasword: {CANARY}, password:"),
    ],
)
def test_a_literal_secret_is_refused_and_not_repeated(tmp_path, shop):
    path = conf(tmp_path, JDBC)
    (tmp_path / "conf" / "targets").mkdir()
    (tmp_path / "conf" / "targets" / "local.yml").write_text(f"connections:\n  shop: {shop}\n")

    message = said(lambda: load_target(path))

    assert message.startswith(f"{tmp_path}/conf/targets/local.yml:2: connections.shop.")
    assert CANARY not in message and "1234" not in message


def asked(tmp_path: Path, connections: str, source: str = JDBC) -> Asked:
    path = conf(tmp_path, source)
    (tmp_path / "conf" / "targets").mkdir()
    (tmp_path / "conf" / "targets" / "local.yml").write_text(f"connections: {connections}\n")
    pipeline: Pipeline = load(path)
    return Asked("tables.t", pipeline.tables["t"], "raw", pipeline.sources["raw"], load_target(path))


def test_a_connection_that_the_target_has_not_is_one_sentence(tmp_path):
    of = asked(tmp_path, f"{{shop: {SHOP}, events: {{kind: kafka, brokers: 'h:1'}}}}")

    assert connection(of, "shop", Postgres).user == "${env:U}"
    assert said(lambda: connection(of, "shoq", Postgres)) == (
        "sources.raw: the target has no connection 'shoq'; there is events, shop"
    )
    assert said(lambda: connection(of, "events", Postgres)) == (
        "sources.raw: the target's connection 'events' is of kind kafka, which kind: jdbc cannot read"
    )


def test_a_secret_comes_from_the_environment_alone(monkeypatch):
    monkeypatch.setenv("P", CANARY)
    monkeypatch.delenv("U", raising=False)

    assert secret("shop", "${env:P}") == CANARY
    with pytest.raises(PlatformError, match=r"^connection shop: there is no environment variable U; export U=\.\.\.$"):
        secret("shop", "${env:U}")


@pytest.mark.parametrize(
    ("source", "library", "name", "extra"),
    [(KAFKA, "confluent_kafka", "confluent-kafka", "kafka"), (JDBC, "psycopg", "psycopg", "postgres")],
)
def test_a_client_that_is_not_installed_is_one_sentence_with_what_to_type(
    tmp_path, monkeypatch, source, library, name, extra
):
    monkeypatch.setitem(sys.modules, library, None)
    of = asked(tmp_path, f"{{shop: {SHOP}, events: {{kind: kafka, brokers: 'h:1'}}}}", source)

    assert said(lambda: KINDS[of.source.kind].news(of)) == (
        f"sources of this kind need {name}, which is not installed; type: pip install 'lakeloom[{extra}]', "
        f"or in a checkout: scripts/bootstrap demo {extra}"
    )


@pytest.mark.parametrize(
    ("most", "taken"),
    [
        (None, {0: (5, 105), 1: (0, 10), 2: (7, 7)}),
        (110, {0: (5, 105), 1: (0, 10), 2: (7, 7)}),
        (11, {0: (5, 15), 1: (0, 1), 2: (7, 7)}),
        (1, {0: (5, 6), 1: (0, 0), 2: (7, 7)}),
    ],
)
def test_a_limit_is_shared_among_partitions(most, taken):
    assert _limited({0: (5, 105), 1: (0, 10), 2: (7, 7)}, most) == taken


def test_no_client_is_imported_before_a_source_needs_it():
    code = "import sys, pipelines.run.waiting; print({'pyspark', 'psycopg', 'confluent_kafka'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
