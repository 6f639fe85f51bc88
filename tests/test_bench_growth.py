"""What benchmarks derive from their pairs: what an arm adds to its floor, and how a cost grows. No Spark."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import CONTROL, TARGETS, Result, above, exponents, growth_table
from benchmarks.copies import copied
from benchmarks.machine import Noise
from benchmarks.measure import Answer, Arm, Pair, Ratio, Sample, added, growth, run_pairs, verdict

QUIET = Noise(others=0.0, steal=0.0, psi=0.0, load=0.0)
LOUD = replace(QUIET, others=0.5)


def sample(name: str, cpu_s: float) -> Sample:
    return Sample(name, 2 * cpu_s, cpu_s, 0.0, Answer(1, "a"))


def pair(ours_s: float, peer_s: float, noise: Noise = QUIET, floors: tuple[float, float] | None = None) -> Pair:
    below = (sample("floor", floors[0]), sample("floor", floors[1])) if floors else None
    return Pair(sample("ours", ours_s), sample("peer", peer_s), noise, below)


def arm(name: str, trace: list[str], floor: Arm | None = None) -> Arm:
    return Arm(name, lambda: None, lambda: trace.append(name), lambda: Answer(1, "a"), floor)


def test_what_is_added_to_a_floor_is_compared() -> None:
    # 11 on 10 against 23 on 8: ours adds 1, the peer 15
    pairs = added([pair(11, 23, floors=(10, 8))])

    assert verdict(pairs).cpu == Ratio(15, 15, 15)


def test_what_adds_nothing_is_taken_for_a_hundredth_of_its_floor() -> None:
    # 9 on 10 is noise; a hundredth of 10 is 0.1, against 2
    pairs = added([pair(9, 12, floors=(10, 10))])

    assert verdict(pairs).cpu == Ratio(pytest.approx(20), pytest.approx(20), pytest.approx(20))


def test_pairs_without_floors_add_nothing_to_compare() -> None:
    assert added([pair(1, 2)]) == []


def test_a_floor_of_both_runs_once_a_pair_and_turns_with_it() -> None:
    trace: list[str] = []
    floor = arm("floor", trace)

    pairs = list(run_pairs(arm("ours", trace, floor), arm("peer", trace, floor), count=2, warmups=0))

    assert trace == ["floor", "ours", "peer", "peer", "ours", "floor"]
    assert [p.floors and [f.arm for f in p.floors] for p in pairs] == [["floor", "floor"]] * 2


def test_each_arm_has_a_floor_of_its_own() -> None:
    trace: list[str] = []
    ours, peer = arm("ours", trace, arm("low", trace)), arm("peer", trace, arm("high", trace))

    pairs = list(run_pairs(ours, peer, count=2, warmups=0))

    assert trace == ["low", "high", "ours", "peer", "peer", "ours", "high", "low"]
    assert [p.floors and [f.arm for f in p.floors] for p in pairs] == [["low", "high"]] * 2


def test_no_floor_is_run_for_a_peer_without_one() -> None:
    trace: list[str] = []

    list(run_pairs(arm("ours", trace, arm("floor", trace)), arm("peer", trace), count=1, warmups=1))

    assert trace == ["ours", "peer", "ours", "peer"]


def test_the_exponent_is_the_slope_between_logarithms() -> None:
    # first round: cost as the square root of rows; second: the same at every size
    assert growth({1: [1, 5], 100: [10, 5], 10_000: [100, 5]}) == Ratio(
        pytest.approx(0.25), pytest.approx(0, abs=1e-12), pytest.approx(0.5)
    )


def test_two_sizes_make_no_exponent() -> None:
    assert growth({1: [1.0], 100: [10.0]}) is None


def test_exponents_are_told_by_arm_without_disturbed_pairs() -> None:
    def result(rows: int, peer_s: float, name: str = "rebuild") -> Result:
        pairs = [pair(2, peer_s), pair(99 * rows, 1, LOUD)]
        return Result("b03", f"{rows}", name, pairs, verdict(pairs), "merged", rows)

    # the rebuild costs ten times as much for ten times the rows, ours always 2
    found = exponents([result(1, 1), result(10, 10), result(100, 100), result(100, 2, CONTROL)])

    assert found == {
        "b03/merged/ours": Ratio(pytest.approx(0), pytest.approx(0), pytest.approx(0)),
        "b03/merged/rebuild": Ratio(pytest.approx(1), pytest.approx(1), pytest.approx(1)),
    }
    assert growth_table({"b03/merged/ours": Ratio(0.5, 0, 1)}).splitlines()[-1] == (
        "| b03 | merged | ours | **0.50** (0.00 to 1.00) |"
    )


def test_an_exponent_above_its_bound_is_one_sentence() -> None:
    grown = {"b03/merged/ours": Ratio(0.4, 0.3, 0.5), "b03/appended/ours": Ratio(0.1, 0.1, 0.1)}
    bounds = {key: {"target": 0.1, "most": 0.3} for key in grown}

    assert list(above(grown, bounds)) == ["b03/merged/ours: its exponent 0.40 is above its bound 0.3"]


def test_every_bound_has_what_it_is_compared_with() -> None:
    bounds = tomllib.loads(TARGETS.read_text())

    # a key is a result's or an exponent's: names of the three parts hold no slash
    assert {key: key.count("/") for key in bounds} == dict.fromkeys(bounds, 2)
    assert all(("regression" in bound) != ("most" in bound) for bound in bounds.values())


def test_a_copied_table_shares_data_files_and_nothing_that_is_written_again(tmp_path: Path) -> None:
    base = tmp_path / "base" / "_delta_log"
    base.mkdir(parents=True)
    (base.parent / "rows.parquet").write_text("rows")
    (base / "0.checkpoint.parquet").write_text("log")

    copied(base.parent, tmp_path / "copy")

    assert (tmp_path / "copy" / "rows.parquet").samefile(base.parent / "rows.parquet")
    assert not (tmp_path / "copy" / "_delta_log" / "0.checkpoint.parquet").samefile(base / "0.checkpoint.parquet")
