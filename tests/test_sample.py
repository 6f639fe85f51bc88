"""A sample is the first rows of each source, as they landed, in a place apart."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import SpecError
from pipelines.sample import sampled
from pipelines.spec import Pipeline, Target

FORMATS = ("csv", "json", "parquet")


def pipeline(**sources: dict[str, object]) -> Pipeline:
    return Pipeline.model_validate({"pipeline": "shop", "sources": sources})


@pytest.fixture
def target(tmp_path: Path) -> Target:
    for number in (1, 2):
        rows = [10 * number, 10 * number + 1, 10 * number + 2]
        for kind in FORMATS:
            (tmp_path / "landing" / kind / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"landing/csv/{number}.csv").write_text("n\n" + "".join(f"{n}\n\n" for n in rows))
        (tmp_path / f"landing/json/deep/{number}.json").write_text("".join(f'{{"n": {n}}}\n' for n in rows))
        pq.write_table(pa.table({"n": rows}), tmp_path / f"landing/parquet/{number}.parquet")
    (tmp_path / "landing/csv/.hidden.csv").write_text("n\n99\n")
    return Target(warehouse=str(tmp_path / "warehouse"), landing=str(tmp_path / "landing"))


def test_a_sample_is_the_first_rows_of_each_source(target):
    files = {kind: {"kind": "files", "format": kind, "path": kind, "schema": "n INT"} for kind in FORMATS}

    landing = Path(sampled(pipeline(**files), target, 4).landing)

    assert {str(p.relative_to(landing)): p.read_text() for p in sorted(landing.rglob("*.csv"))} == {
        "csv/1.csv": "n\n10\n11\n12\n",
        "csv/2.csv": "n\n20\n",
    }
    assert [p.read_text() for p in sorted(landing.rglob("*.json"))] == [
        '{"n": 10}\n{"n": 11}\n{"n": 12}\n',
        '{"n": 20}\n',
    ]
    assert [pq.read_table(p)["n"].to_pylist() for p in sorted(landing.rglob("*.parquet"))] == [[10, 11, 12], [20]]


def test_a_column_that_the_first_json_records_leave_out_is_null_in_the_sample(target):
    files = {"json": {"kind": "files", "format": "json", "path": "json", "schema": "n INT, m INT"}}

    landing = Path(sampled(pipeline(**files), target, 2).landing)

    assert [p.read_text() for p in landing.rglob("*.json")] == ['{"m": null, "n": 10}\n{"n": 11}\n']


def test_a_sample_of_a_packed_file_is_packed(target):
    packed = Path(target.landing) / "csv" / "0.csv.gz"
    packed.write_bytes(gzip.compress(b"n\n1\n2\n"))
    files = {"csv": {"kind": "files", "format": "csv", "path": "csv", "schema": "n INT"}}

    landing = Path(sampled(pipeline(**files), target, 1).landing)

    assert gzip.decompress((landing / "csv" / "0.csv.gz").read_bytes()) == b"n\n1\n"


def test_all_places_of_a_sample_are_apart_and_made_anew(target):
    files = {"csv": {"kind": "files", "format": "csv", "path": "csv", "schema": "n INT"}}
    stale = Path(sampled(pipeline(**files), target, 6).warehouse) / "old"
    stale.mkdir(parents=True)

    place = sampled(pipeline(**files), target, 1)

    root = Path(target.warehouse).parent / "sample" / "shop"
    assert [place.warehouse, place.landing, place.artifacts] == [
        str(root / n) for n in ("warehouse", "landing", "artifacts")
    ]
    assert place.tracking == f"sqlite:///{root}/mlflow.db"
    assert not stale.exists()
    assert [p.name for p in (root / "landing" / "csv").iterdir()] == ["1.csv"]


def test_only_files_are_sampled(target):
    clicks = {"kind": "kafka", "connection": "events", "topic": "clicks", "schema": "n INT"}

    with pytest.raises(SpecError, match="a sample is taken of what lies in folders, and this is kafka"):
        sampled(pipeline(clicks=clicks), target, 1)
