"""A topic of a real broker as a source: each record once, whatever happens; what cannot be read is kept as it came."""

import json
from pathlib import Path
from signal import SIGKILL

import pytest
from e2e.project import Project, Said, project

from pipelines import pii
from pipelines.crash import VARIABLE
from pipelines.drift import MOST_ADDED
from pipelines.intake.kafka import BACK, ENOUGH

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

KEY = "0123456789abcdef0123456789abcdef"
KILLED = {VARIABLE: "between clean and quarantine"}
SELECT = "SELECT id, amount, kafka_partition AS part, kafka_offset AS at, kafka_key AS key FROM raw"


def record(number: int, amount: int = 1) -> str:
    return json.dumps({"id": number, "amount": amount})


@pytest.fixture
def clicks(spark, broker, tmp_path: Path) -> Project:
    """One table of one topic with two partitions; a negative amount is refused."""
    made = project(tmp_path, "clicks")
    place(made, broker.address)
    positive = {"expect_column_values_to_be_between": {"column": "amount", "min_value": 0}, "on_fail": "quarantine"}
    topic = {"kind": "kafka", "connection": "events", "topic": broker.topic(2), "schema": "id INT, amount INT"}
    made.write(sources={"raw": topic}, tables={"clicks": {"from": "raw", "select": SELECT, "expect": [positive]}})
    return made


def place(made: Project, address: str) -> None:
    target = (
        f"{{master: 'local[2]', driver_memory: 1g, connections: {{events: {{kind: kafka, brokers: '{address}'}}}}}}"
    )
    (made.root / "conf" / "targets" / "local.yml").write_text(target)


def topic(made: Project) -> str:
    (line,) = [text for text in made.conf.read_text().splitlines() if "topic:" in text]
    return line.partition(":")[2].strip()


def set_source(made: Project, **keys: object) -> None:
    made.change(lambda conf: conf["sources"]["raw"].update(keys))


def found(made: Project) -> list[tuple[int, int, int]]:
    return sorted((r["id"], r["part"], r["at"]) for r in made.published("tables.clicks"))


def counts(made: Project) -> dict[str, int]:
    return {k: v for k, v in made.records("tables.clicks")[-1].counts.items() if v}


def ran(said: Said) -> None:
    assert (said.error, said.code) == ("", 0), said.err


def test_each_record_is_read_once_from_the_earliest_on(clicks, broker):
    broker.send(topic(clicks), record(1), record(2), key="k")
    broker.send(topic(clicks), record(3), partition=1)
    assert "3 new records of raw" in clicks.lakeloom("plan").out

    ran(clicks.lakeloom("run"))

    assert found(clicks) == [(1, 0, 0), (2, 0, 1), (3, 1, 0)]
    assert [r["key"] for r in clicks.published("tables.clicks") if r["id"] == 1] == ["k"]
    assert counts(clicks) == {"rows_in": 3, "applied": 3, "offsets": 3}
    assert "nothing to do" in clicks.lakeloom("run").out
    broker.send(topic(clicks), record(4), partition=1)
    ran(clicks.lakeloom("run"))
    assert found(clicks)[3:] == [(4, 1, 1)]
    assert counts(clicks) == {"rows_in": 1, "applied": 1, "offsets": 1}


def test_a_value_that_is_no_object_of_the_schema_is_quarantined_as_it_came(clicks, broker):
    lists = ["[1, 2]", f"[{record(8)}, {record(9)}]", f"{record(8)} {record(9)}", f"{record(8)}]", f"{record(8)}, {{}}"]
    bad = ["{bad", '{"id": "one"}', *lists, "null", "", b"\xff", None]
    broker.send(topic(clicks), *bad, f" {record(1)}\n", record(2, -5))

    ran(clicks.lakeloom("run"))

    stood = {r["_file"]: (r["_record"], r["_reasons"]) for r in clicks.rows("tables.clicks", "quarantine")}
    texts = [*bad[:9], "base64:/w==", "null"]
    refused = {f"{topic(clicks)}-0@{i}": (text, ["malformed record"]) for i, text in enumerate(texts)}
    whole, reasons = stood.pop(f"{topic(clicks)}-0@12")
    assert stood == refused
    assert reasons == ["amount: be between (min_value 0.0)"]
    assert {**json.loads(record(2, -5)), "kafka_partition": 0, "kafka_offset": 12}.items() <= json.loads(whole).items()
    assert found(clicks) == [(1, 0, 11)]
    assert counts(clicks) == {"rows_in": 13, "applied": 1, "quarantined": 12, "offsets": 13}


def test_a_key_beyond_the_schema_is_ignored_or_its_record_refused_as_the_source_says(clicks, broker):
    more = '{"id": 1, "amount": 1, "price": 2}'
    broker.send(topic(clicks), more)
    ran(clicks.lakeloom("run"))
    set_source(clicks, on_schema_change="quarantine")
    other = '{"id": 4, "price": 2}'
    broker.send(topic(clicks), more, record(2), '{"id": 3}', '{"id": "x", "price": 2}', other)

    ran(clicks.lakeloom("run"))

    assert found(clicks) == [(1, 0, 0), (2, 0, 2)]
    assert [(r["_record"], r["_reasons"]) for r in clicks.rows("tables.clicks", "quarantine")] == [
        (more, ["schema drift: has 'price', which the schema has not"]),
        ('{"id": 3}', ["schema drift: lacks 'amount'"]),
        ('{"id": "x", "price": 2}', ["malformed record"]),
        (other, ["schema drift: has 'price', which the schema has not and lacks 'amount'"]),
    ]
    assert counts(clicks) == {"rows_in": 5, "applied": 1, "quarantined": 4, "offsets": 5}


def test_a_key_that_the_topic_lost_stops_the_table_and_one_record_does_not(clicks, broker):
    broker.send(topic(clicks), record(1), *['{"id": 2}'] * BACK)  # one of them has it
    ran(clicks.lakeloom("run"))
    broker.send(topic(clicks), '{"id": 3, "Amount": 1}', "{bad")

    lost = clicks.lakeloom("run")

    assert (lost.code, lost.error.count("lacks 'amount' (did you mean 'amount' by 'Amount'?)")) == (3, 1)
    assert f"none of {BACK - 1} records has" in lost.error
    assert len(found(clicks)) == BACK + 1
    set_source(clicks, optional=["amount"])
    ran(clicks.lakeloom("run"))
    assert (len(found(clicks)), counts(clicks)["quarantined"]) == (BACK + 2, 1)


def test_a_key_that_the_newest_records_have_is_not_lost(clicks, broker):
    broker.send(topic(clicks), *['{"id": 1}'] * ENOUGH)
    assert f"lacks 'amount', which none of {ENOUGH} records has" in clicks.lakeloom("run").error
    broker.send(topic(clicks), record(2), partition=1)  # of another tenant
    set_source(clicks, most_records=50)
    ran(clicks.lakeloom("run"))
    set_source(clicks, most_records=None)
    ran(clicks.lakeloom("run"))
    broker.send(topic(clicks), *['{"id": 3}'] * ENOUGH)

    ran(clicks.lakeloom("run"))

    assert len(found(clicks)) == 2 * ENOUGH + 1


def test_what_was_refused_for_a_key_that_it_lacked_enters_once_it_may(clicks, broker):
    set_source(clicks, on_schema_change="quarantine")
    broker.send(topic(clicks), record(1), '{"id": 2}', '{"id": 3, "price": 1}')
    ran(clicks.lakeloom("run"))
    still = clicks.lakeloom("quarantine replay", "tables.clicks")
    assert [i for i, *_ in found(clicks)] == [1]
    set_source(clicks, optional=["amount"])

    now = clicks.lakeloom("quarantine replay", "tables.clicks")

    assert (still.error, now.error) == ("", "")
    assert sorted(r["id"] for r in clicks.published("tables.clicks")) == [1, 2]
    assert [r["_record"] for r in clicks.rows("tables.clicks", "quarantine")] == ['{"id": 3, "price": 1}']


def test_a_key_beyond_the_schema_becomes_a_column_unless_it_cannot(clicks, broker):
    set_source(clicks, on_schema_change="add_columns")
    broker.send(topic(clicks), record(1))
    ran(clicks.lakeloom("run"))
    wide = '{"id": 2, "amount": 1, "price": 2.50, "shop": {"city": "Rome"}}'
    cannot = [f'{{"id": 9, "amount": 1, "{name}": 0}}' for name in ("Price", "kafka_offset", "a b", "_file")]
    broker.send(topic(clicks), wide, *cannot, "{bad")
    broker.send(topic(clicks), wide.replace("2.50", "null"), partition=1)

    ran(clicks.lakeloom("run"))

    assert beyond(clicks) == [(1, None, None), (2, "2.5", '{"city":"Rome"}'), (2, None, '{"city":"Rome"}')]
    refused = {r["_record"]: r["_reasons"] for r in clicks.rows("tables.clicks", "quarantine")}
    assert list(refused) == [*cannot, "{bad"]
    assert refused[cannot[0]] == ["schema drift: has 'Price', which the schema has not"]
    assert counts(clicks) == {"rows_in": 7, "applied": 2, "quarantined": 5, "offsets": 7}


def test_a_column_that_a_topic_added_stays_and_a_flood_of_keys_adds_none(clicks, broker):
    set_source(clicks, on_schema_change="add_columns", optional=["amount"])
    broker.send(topic(clicks), '{"id": 1, "price": 5}')
    ran(clicks.lakeloom("run"))
    flood = [f'{{"id": 3, "k{number}": 1}}' for number in range(MOST_ADDED + 1)]
    broker.send(topic(clicks), '{"id": 2, "price": 6}', *flood)
    ran(clicks.lakeloom("run"))

    ran(clicks.lakeloom("run", "--full-refresh", "tables.clicks"))

    assert sorted((r["id"], r["price"]) for r in clicks.published("tables.clicks")) == [(1, "5"), (2, "6")]
    assert counts(clicks)["quarantined"] == len(flood)


def beyond(made: Project) -> list[tuple[object, ...]]:
    rows = ((r["id"], r["price"], r["shop"]) for r in made.published("tables.clicks"))
    return sorted(rows, key=str)


def test_persons_in_key_and_value_are_guarded_as_they_are_read(clicks, broker, monkeypatch):
    monkeypatch.setenv(pii.VARIABLE, KEY)
    set_source(clicks, pii={"id": "tokenize", "kafka_key": "tokenize"})
    broker.send(topic(clicks), record(424242), record(424242, -5), '{"id": 424242, "amount": "x"}', key="ann")

    ran(clicks.lakeloom("run"))

    tokens = {"id": pii.token("424242", KEY.encode()), "kafka_key": pii.token("ann", KEY.encode())}
    assert [(r["id"], r["key"]) for r in clicks.published("tables.clicks")] == [tuple(tokens.values())]
    refused = [r["_record"] for r in clicks.rows("tables.clicks", "quarantine")]
    assert pii.REMOVED in refused and tokens.items() <= json.loads(min(refused, key=lambda r: r[0] != "{")).items()
    assert "424242" not in str(refused) and "ann" not in str(refused)


def test_a_run_killed_between_clean_and_quarantine_is_made_good_by_the_same_offsets(clicks, broker):
    broker.send(topic(clicks), record(1), "{bad")
    assert clicks.lakeloom_apart("run", **KILLED).code == -SIGKILL
    broker.send(topic(clicks), record(2))

    ran(clicks.lakeloom("run"))

    assert found(clicks) == [(1, 0, 0)]
    assert [r["_record"] for r in clicks.rows("tables.clicks", "quarantine")] == ["{bad"]
    assert [i.inputs["raw"]["partitions"] for i in clicks.intents("tables.clicks")] == [{"0": [0, 2], "1": [0, 0]}]
    ran(clicks.lakeloom("run"))
    assert found(clicks) == [(1, 0, 0), (2, 0, 2)]
    assert len(clicks.rows("tables.clicks", "quarantine")) == 1


def test_a_batch_that_was_not_staged_to_its_end_is_read_again_by_the_same_offsets(clicks, broker, monkeypatch):
    broker.send(topic(clicks), record(1), "{bad")
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.staging.complete", _full)
        assert clicks.lakeloom("run").code == 1
    broker.send(topic(clicks), record(2))

    ran(clicks.lakeloom("run"))

    assert found(clicks) == [(1, 0, 0)]
    assert counts(clicks) == {"rows_in": 2, "applied": 1, "quarantined": 1, "offsets": 2}
    ran(clicks.lakeloom("run"))
    assert found(clicks) == [(1, 0, 0), (2, 0, 2)]


def _full(*_: object) -> None:
    raise OSError("No space left on device")


def test_a_batch_takes_no_more_than_it_may_and_the_next_goes_on(clicks, broker):
    set_source(clicks, most_records=3)
    broker.send(topic(clicks), *[record(i) for i in range(6)])
    broker.send(topic(clicks), record(6), record(7), partition=1)

    seen = []
    for _ in range(3):
        ran(clicks.lakeloom("run"))
        seen.append(len(found(clicks)))

    assert seen == [3, 6, 8]
    assert sorted(r[0] for r in found(clicks)) == list(range(8))
    assert "nothing to do" in clicks.lakeloom("run").out


def test_records_that_expired_unread_are_never_a_silent_gap(clicks, broker):
    broker.send(topic(clicks), record(1))
    ran(clicks.lakeloom("run"))
    broker.send(topic(clicks), record(2), record(3), record(4))
    broker.expire(topic(clicks), before=3)

    said = clicks.lakeloom("run")

    assert (said.code, said.error) == (
        3,
        f"tables.clicks: offsets 1 to 2 of {topic(clicks)}-0 expired before they were read (1 partitions); "
        "say `expired: skip` in sources.raw to count them and go on",
    )
    set_source(clicks, expired="skip")
    ran(clicks.lakeloom("run"))
    assert found(clicks) == [(1, 0, 0), (4, 0, 3)]
    assert counts(clicks) == {"rows_in": 1, "applied": 1, "offsets": 3, "expired": 2}


def test_a_full_refresh_refuses_to_lose_what_the_topic_dropped(clicks, broker):
    broker.send(topic(clicks), record(1), record(2))
    ran(clicks.lakeloom("run"))
    broker.expire(topic(clicks), before=1)

    said = clicks.lakeloom("run", "--full-refresh", "tables.clicks")

    lost = f"a full refresh would lose records that {topic(clicks)}-0 no longer holds"
    assert (said.code, said.error.partition(";")[0]) == (3, f"tables.clicks: {lost}")
    assert found(clicks) == [(1, 0, 0), (2, 0, 1)]


def test_another_topic_of_the_same_name_is_not_taken_for_the_one_before(clicks, broker):
    broker.send(topic(clicks), record(1))
    ran(clicks.lakeloom("run"))
    broker.again(topic(clicks))
    broker.send(topic(clicks), record(2), record(3))

    said = clicks.lakeloom("run")

    other = f"{topic(clicks)} is another topic than the one of that name which was read before"
    way_out = "give it a table of its own, or say `expired: skip` in sources.raw and make the table anew"
    assert (said.code, said.error) == (3, f"tables.clicks: {other}; {way_out}")
    anew = clicks.lakeloom("run", "--full-refresh", "tables.clicks")
    lost = f"a full refresh would lose records that {topic(clicks)}-0 no longer holds"
    assert (anew.code, anew.error) == (3, f"tables.clicks: {lost}; {way_out}")
    set_source(clicks, expired="skip")
    ran(clicks.lakeloom("run", "--full-refresh", "tables.clicks"))
    assert found(clicks) == [(2, 0, 0), (3, 0, 1)]


def test_offsets_without_a_record_are_counted_as_a_gap_and_nothing_uncommitted_is_read(clicks, broker):
    writer = broker.producer(**{"transactional.id": topic(clicks)})
    writer.init_transactions(60)
    for number, ending in ((1, "commit_transaction"), (2, "abort_transaction"), (3, "")):
        writer.begin_transaction()
        writer.produce(topic(clicks), record(number), partition=0)
        writer.flush(60)
        if ending:
            getattr(writer, ending)(60)

    ran(clicks.lakeloom("run"))  # offsets: 0 record, 1 marker, 2 aborted, 3 marker, 4 not committed yet

    assert found(clicks) == [(1, 0, 0)]
    assert counts(clicks) == {"rows_in": 1, "applied": 1, "offsets": 4, "gap": 3}
    writer.commit_transaction(60)
    ran(clicks.lakeloom("run"))
    assert found(clicks) == [(1, 0, 0), (3, 0, 4)]


@pytest.mark.parametrize(
    ("wrong", "code", "sentence"),
    [
        (lambda c: set_source(c, topic="nowhere"), 2, "sources.raw: no topic 'nowhere' at {address}; there is "),
        (lambda c: set_source(c, connection="e"), 2, "sources.raw: the target has no connection 'e'; there is events"),
        (lambda c: place(c, "127.0.0.1:1"), 1, "sources.raw: 127.0.0.1:1 does not answer: "),
    ],
    ids=["no topic", "no connection", "no broker"],
)
def test_what_is_not_there_is_one_sentence(clicks, broker, monkeypatch, wrong, code, sentence):
    monkeypatch.setattr("pipelines.intake.kafka.WAIT_S", 2)
    wrong(clicks)

    said = clicks.lakeloom("run")

    assert said.code == code
    assert said.error.startswith(sentence.format(address=broker.address))
    assert "Traceback" not in said.err


def test_a_backfill_reads_the_same_offsets_again_and_takes_none_that_are_new(clicks, broker):
    clicks.change(
        lambda c: c["tables"]["clicks"].update(
            event_time="moment", select=SELECT.replace(" FROM", ", kafka_timestamp AS moment FROM")
        )
    )
    broker.send(topic(clicks), record(1), record(2, 500))
    ran(clicks.lakeloom("run"))
    broker.send(topic(clicks), record(3))
    small = {"expect_column_values_to_be_between": {"column": "amount", "max_value": 100}, "on_fail": "quarantine"}
    clicks.change(lambda c: c["tables"]["clicks"].update(expect=[small]))

    ran(clicks.lakeloom("backfill", "tables.clicks", "--from", "2020-01-01", "--to", "2100-01-01"))

    assert found(clicks) == [(1, 0, 0)]
    assert [json.loads(r["_record"])["id"] for r in clicks.rows("tables.clicks", "quarantine")] == [2]
    ran(clicks.lakeloom("run"))
    assert found(clicks) == [(1, 0, 0), (3, 0, 2)]
