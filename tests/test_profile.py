"""A profile is of every row of every file, whatever the first rows looked like."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from pipelines import profile
from pipelines.errors import SpecError
from pipelines.profile import Profile, blocks, profiled, wider


def of(tmp_path: Path, *texts: str, kind: str = "csv") -> dict[str, Profile]:
    files = [tmp_path / f"{i}.{kind}" for i in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return {p.name: p for p in profiled(blocks(files, kind))}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "BLOCK", 10)


def lines(*values: object) -> str:
    return "a\n" + "".join(f"{v}\n" for v in values)


@pytest.mark.parametrize(
    ("late", "kind"),
    [
        ("7", pa.int64()),
        ("7.5", pa.float64()),
        ("seven", pa.string()),
        ("NA", pa.int64()),
        ("2024-01-01", pa.string()),
    ],
)
def test_a_type_holds_the_rows_far_behind_the_first(tmp_path, late, kind):
    assert of(tmp_path, lines(*range(95), late))["a"].type == kind


def test_dates_and_times_become_times(tmp_path):
    found = of(tmp_path, lines(*["2024-01-01"] * 10, *["2024-01-01 10:00:00"] * 10))["a"]

    assert pa.types.is_timestamp(found.type)


@pytest.mark.parametrize(
    ("texts", "unique"),
    [
        ([lines(*range(50))], True),
        ([lines(*range(50), 0)], False),  # far from each other
        ([lines(*range(50)), lines(*range(50, 60))], True),
        ([lines(*range(50)), lines(49, 51)], False),  # in two files
        ([lines(*range(50), "NA")], False),
        ([lines(*range(50), "x")], True),  # as text
        ([lines(*range(50), "1.0")], False),  # 1 and 1.0
    ],
)
def test_a_key_is_unique_over_all_rows_of_all_files(tmp_path, texts, unique):
    assert of(tmp_path, *texts)["a"].unique is unique


def test_nulls_bounds_and_categories_are_of_all_rows(tmp_path):
    text = "n,c\n" + "".join(f"{i},{'xyz'[i % 3]}\n" for i in range(40)) + "-5,NA\n,w\n"

    found = of(tmp_path, text)

    assert (found["n"].rows, found["n"].nulls, found["n"].least, found["n"].greatest) == (42, 1, -5, 39)
    assert (found["c"].nulls, found["c"].categories) == (1, ("w", "x", "y", "z"))


def test_many_values_are_no_categories(tmp_path):
    assert of(tmp_path, lines(*[f"v{i}" for i in range(13)]))["a"].categories == ()


def test_a_key_of_json_that_comes_late_was_missing_before(tmp_path):
    text = '{"a": 1}\n' * 25 + '{"a": 2, "b": "x"}\n' + '{"a": 3}\n' * 14

    found = of(tmp_path, text, kind="json")

    assert (found["b"].rows, found["b"].nulls, found["b"].type) == (40, 39, pa.string())


def test_a_ragged_line_is_passed_over(tmp_path):
    assert of(tmp_path, "a,b\n1,2\n3\n4,5\n")["a"].rows == 2


def test_no_more_than_so_many_rows_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "MOST_ROWS", 25)

    assert of(tmp_path, lines(*range(20)), lines(*range(20)))["a"].rows == 25


def test_parquet_in_nanoseconds_is_refused_with_the_way_out(tmp_path):
    table = pa.table({"at": pa.array([0], pa.timestamp("ns"))})
    parquet.write_table(table, tmp_path / "a.parquet", version="2.6")

    with pytest.raises(SpecError, match=r"column 'at' counts nanoseconds.*coerce_timestamps='us'"):
        profiled(blocks([tmp_path / "a.parquet"], "parquet"))
    parquet.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    assert profiled(blocks([tmp_path / "a.parquet"], "parquet"))[0].rows == 1


@pytest.mark.parametrize(
    ("one", "other", "wide"),
    [
        (pa.null(), pa.int64(), pa.int64()),
        (pa.int64(), pa.bool_(), pa.string()),
        (pa.struct([("x", pa.int64())]), pa.struct([("y", pa.string())]),
         pa.struct([("x", pa.int64()), ("y", pa.string())])),
        (pa.list_(pa.int64()), pa.string(), pa.string()),
    ],
)  # fmt: skip
def test_the_wider_of_two_types_holds_both(one, other, wide):
    assert wider(one, other) == wide
