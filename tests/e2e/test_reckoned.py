"""After a run: its lineage is told and its usage recorded; before one: what it will cost, and whether it may."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from e2e.project import Project, project
from pipelines.cost import Usage, cost
from pipelines.spec import Prices

pytestmark = pytest.mark.spark
TARGET = """
master: local[2]
driver_memory: 1g
prices: {usd_core_hour: 3600, usd_gib_hour: 1}
lineage: {kind: file, path: lineage.jsonl}
"""
TABLES = {
    "days": {"from": "days_raw", "keys": ["day"], "select": "SELECT day, rides FROM days_raw"},
    "totals": {"select": "SELECT sum(rides) AS rides FROM days"},
}


@pytest.fixture(scope="module")
def ran(spark, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = project(tmp_path_factory.mktemp("reckoned"), "rides")
    (made.root / "conf" / "targets" / "local.yml").write_text(TARGET)
    source = {"kind": "files", "format": "csv", "path": "days", "schema": "day INT, rides INT"}
    made.write(sources={"days_raw": source}, tables=TABLES)
    made.land("days/1.csv", "day,rides\n1,10\n2,20\n")
    assert made.lakeloom("run").error == ""
    return made


def test_every_attempt_is_a_start_and_a_complete_with_what_it_read_and_wrote(ran):
    told = [json.loads(line) for line in (ran.root / "lineage.jsonl").read_text().splitlines()][:4]

    assert [(e["job"]["name"], e["eventType"]) for e in told] == [
        ("rides.tables.days", "START"), ("rides.tables.days", "COMPLETE"),
        ("rides.tables.totals", "START"), ("rides.tables.totals", "COMPLETE"),
    ]  # fmt: skip
    days, totals = told[1], told[3]
    read, judged = days["inputs"]  # the table is an input of its own rules, as OpenLineage has assertions
    assert read["name"] == f"{ran.landing}/days"
    assert judged["name"] == days["outputs"][0]["name"]
    fields = days["outputs"][0]["facets"]["schema"]["fields"]
    assert fields == [{"name": "day", "type": "integer"}, {"name": "rides", "type": "integer"}]
    assert totals["inputs"][0]["name"] == days["outputs"][0]["name"]
    assert totals["inputs"][0]["facets"]["version"] == days["outputs"][0]["facets"]["version"]


def test_an_attempt_records_what_it_used_of_spark(ran):
    for record in ran.records():
        used = Usage.of(record.detail["usage"])
        held_s = used.core_ms / 2 / 1000  # of two cores

        assert 0 < held_s <= record.seconds + 1, (record.stage, used, record.seconds)
        assert 0 < used.task_ms <= used.core_ms
        assert used.memory_mib_ms == 1024 * used.core_ms // 2
        assert used.written_bytes > 0
        assert used.read_bytes > 0
    assert sum(Usage.of(record.detail["usage"]).shuffled_bytes for record in ran.records()) > 0


def test_cost_plan_and_budget_say_the_same_money(ran):
    prices = Prices(usd_core_hour=Decimal(3600), usd_gib_hour=Decimal(1))
    billed = {r.stage: cost(Usage.of(r.detail["usage"]), prices) for r in ran.records()}

    lines = json.loads(ran.lakeloom("cost", "--format", "json").out)
    ran.land("days/2.csv", "day,rides\n3,30\n")
    planned = json.loads(ran.lakeloom("plan", "--format", "json").out)

    assert {line["stage"]: Decimal(line["usd"]) for line in lines} == billed
    assert {line["stage"]: Decimal(line["usd"]) for line in planned} == billed

    local = ran.root / "conf" / "targets" / "local.yml"
    local.write_text(TARGET.replace("usd_gib_hour: 1", "usd_gib_hour: 1, budget_usd: 0.001"))
    before, refused = len(ran.records()), ran.lakeloom("run")
    local.write_text(TARGET)

    assert refused.code == 3
    assert refused.error.startswith(f"the run does not begin: it would cost about {sum(billed.values()):.4f} USD")
    assert len(ran.records()) == before


def test_lineage_that_cannot_be_sent_breaks_no_run(ran):
    local = ran.root / "conf" / "targets" / "local.yml"
    local.write_text(TARGET.replace("{kind: file, path: lineage.jsonl}", "{kind: http, url: 'http://127.0.0.1:9/l'}"))

    said = ran.lakeloom("run", "--select", "tables.days")

    assert said.code == 0
    assert "lineage was not sent: URLError: " in said.err


def test_a_file_that_cannot_be_written_breaks_none_either(ran):
    local = ran.root / "conf" / "targets" / "local.yml"
    blocked = Path(ran.root / "conf" / "rides.yml") / "lineage.jsonl"
    local.write_text(TARGET.replace("path: lineage.jsonl", f"path: {blocked}"))

    said = ran.lakeloom("run", "--select", "tables.totals")

    assert said.code == 0
    assert "lineage was not sent: " in said.err


HOLDING_GPUS = """
import sys
from pyspark.sql import SparkSession
from pipelines.metering import reading

told = {f"spark.{who}.resource.gpu.{what}": value for who in ("executor", "worker")
        for what, value in (("amount", "2"), ("discoveryScript", sys.argv[1]))}
builder = SparkSession.builder.master("local-cluster[1,1,600]").config("spark.task.resource.gpu.amount", "1")
for key, value in {**told, "spark.executor.memory": "600m", "spark.ui.enabled": "false"}.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
spark.range(9).count()
print([e.gpus for e in reading(spark).executors])
spark.stop()
"""


def test_the_gpus_that_a_cluster_gives_an_executor_are_read(tmp_path):
    script = tmp_path / "gpus.sh"
    script.write_text("""#!/bin/sh\necho '{"name": "gpu", "addresses": ["0", "1"]}'\n""")
    script.chmod(0o700)

    said = subprocess.run([sys.executable, "-c", HOLDING_GPUS, str(script)], capture_output=True, text=True,
                          timeout=300, check=True, cwd=Path(__file__).parents[2])  # fmt: skip

    assert 2 in json.loads(said.stdout.splitlines()[-1])
