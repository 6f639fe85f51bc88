"""The feed is the package's data, month by month, byte for byte."""

import csv
from pathlib import Path
from zipfile import ZipFile

import land
import pytest


@pytest.fixture(scope="module")
def year(tmp_path_factory) -> Path:
    to = tmp_path_factory.mktemp("year")
    land.main(["--through", "2013-12", "--to", str(to)])
    return to


def rows(folder: Path) -> int:
    """Lines but the headers, counted by another reader than the one that wrote them."""
    total = 0
    for path in folder.glob("*.csv"):
        with path.open(newline="") as file:
            total += sum(1 for _ in csv.reader(file)) - 1
    return total


def test_the_year_has_the_rows_that_the_package_documents(year):
    assert rows(year / "flights") == 336_776
    assert rows(year / "weather") == 26_115
    assert rows(year / "planes") == 3_322
    assert rows(year / "airports") == 1_458


@pytest.mark.parametrize("name", ["flights", "weather"])
def test_the_months_hold_the_same_lines_as_the_package(year, name):
    packed, plain = land.feed() / f"{name}.csv.zip", land.feed() / f"{name}.csv"
    whole = plain.read_bytes() if plain.exists() else ZipFile(packed).read(f"{name}.csv")
    header, *lines = whole.split(b"\n")

    landed = [path.read_bytes().split(b"\n") for path in sorted((year / name).glob("*.csv"))]

    assert len(landed) == 12
    assert all(file[0] == header for file in landed)
    assert sorted(line for file in landed for line in file[1:] if line) == sorted(line for line in lines if line)


def test_a_month_holds_that_month_only(year):
    with (year / "flights" / "flights-2013-02.csv").open(newline="") as file:
        months = {(row["year"], row["month"]) for row in csv.DictReader(file)}

    assert months == {("2013", "2")}


def test_the_months_keep_the_order_and_the_bytes_of_their_lines():
    table = b'day,month,year,x\n3,2,2013, NA\n1,11,2012,"a\n2,2,2013,\xff\r\n'

    assert land.by_month(table) == {
        "2012-11": b'day,month,year,x\n1,11,2012,"a\n',
        "2013-02": b"day,month,year,x\n3,2,2013, NA\n2,2,2013,\xff\r\n",
    }


def test_a_later_month_lands_alone(tmp_path, capsys):
    land.main(["--through", "2013-11", "--to", str(tmp_path)])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.csv")}

    land.main(["--through", "2013-12", "--to", str(tmp_path)])

    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.csv")}
    assert {path.name for path in after.keys() - before.keys()} == {"flights-2013-12.csv", "weather-2013-12.csv"}
    assert {path: after[path] for path in before} == before
    assert capsys.readouterr().err == f"24 files landed in {tmp_path}\n2 files landed in {tmp_path}\n"


def test_landing_again_lands_nothing_and_leaves_no_parts(year, capsys):
    land.main(["--through", "2013-12", "--to", str(year)])

    assert capsys.readouterr().err == f"nothing new for {year}\n"
    assert [path for path in year.rglob("*") if path.is_file() and path.suffix != ".csv"] == []


def test_a_month_that_is_none_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        land.main(["--through", "2013-13", "--to", str(tmp_path)])

    assert "'2013-13' is not a month such as 2013-11" in capsys.readouterr().err
