"""What counts as the same answer; and a process that cannot answer is told from a model that answers wrong."""

import sys
from decimal import Decimal
from zipfile import ZipFile

import pytest

from pipelines.errors import PlatformError
from pipelines.run import proving
from pipelines.run.proving import Asked, Proof, alike, alone, compared, environment, prove
from pipelines.spec import Prices, Standalone, Target

ASKED = Asked("flights.late", 1, ("id",), "at")
ROW = {"id": "a", "score": 0.25, "shares": [0.25, 0.75], "by": {"x": 1.0}}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (ROW, True),
        ({**ROW, "score": 0.25 + 1e-10}, True),
        ({**ROW, "score": 0.25 + 1e-8}, False),
        ({**ROW, "shares": [0.25, 0.76]}, False),
        ({**ROW, "by": {"x": 1.0, "y": 1.0}}, False),
        ({**ROW, "id": "b"}, False),
        ({"id": "a"}, False),
    ],
)
def test_rows_are_alike_within_a_billionth(now, expected):
    assert alike(ROW, now) is expected
    assert compared([ROW], [now]).passed is expected


def test_two_answers_that_are_no_number_are_alike():
    assert alike(float("nan"), float("nan"))


def test_a_row_that_differs_is_named():
    assert compared([ROW, ROW], [ROW, {**ROW, "score": 0.5}]) == Proof(
        False, "row 1: score was 0.25 at training and is 0.5"
    )
    assert compared([ROW], []) == Proof(False, "it answered 0 rows of 1")


def test_a_process_that_cannot_start_is_the_platforms_fault(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(PlatformError, match=r"flights\.late@1: a clean process ended with 1: said nothing"):
        prove(Target(), ASKED)


def test_a_process_that_does_not_answer_in_time_is_no_proof(monkeypatch, tmp_path):
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    monkeypatch.setattr(proving, "LIMIT_S", 0.2)

    assert prove(Target(), ASKED) == Proof(False, "it did not answer within 0.2 s")


def test_a_target_with_a_cluster_reaches_the_clean_process_whole():
    cluster = Standalone(kind="standalone", master="spark://m:7077")
    target = Target(master=None, submit=cluster, prices=Prices(usd_core_hour=Decimal("0.05")), warehouse="/lake")

    given = Target.model_validate_json(alone(target).model_dump_json())

    assert (given.master, given.submit, given.warehouse) == ("local[1]", None, "/lake")
    assert given.prices == target.prices


def test_the_clean_process_finds_spark_where_pyspark_is_a_zip_before_it(monkeypatch, tmp_path):
    """As in a container of YARN's."""
    monkeypatch.delenv("SPARK_HOME", raising=False)
    with ZipFile(tmp_path / "pyspark.zip", "w") as archive:
        archive.writestr("pyspark/__init__.py", "")
    (tmp_path / "site" / "pyspark" / "bin").mkdir(parents=True)
    (tmp_path / "site" / "pyspark" / "bin" / "spark-submit").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "pyspark.zip"), str(tmp_path / "site")])

    assert environment()["SPARK_HOME"] == str(tmp_path / "site" / "pyspark")

    monkeypatch.setenv("SPARK_HOME", "/opt/spark")
    assert environment()["SPARK_HOME"] == "/opt/spark"
