"""Tests of benchmarks/: what is counted, in which order arms run, and when there is no verdict. No Spark."""

import sys
from pathlib import Path
from time import process_time

import pytest

from benchmarks.__main__ import Result, below, table
from benchmarks.machine import Noise, Peak, run_process, tree_cpu_s
from benchmarks.measure import Answer, Arm, Pair, Ratio, Sample, Verdict, run_pairs, verdict
from pipelines.errors import DataError, PlatformError

QUIET = Noise(others=0.0, steal=0.0, psi=0.5, load=2.0)
BURN = "import time\nwhile time.process_time() < 0.5: pass\n"
HOLD_200_MB = "import time; held = b'x' * (200 << 20); time.sleep(1.5)"
# starts a child that burns, and ends before it
ORPHANING = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN!r}])"


def arm(name: str, trace: list[str], made: str = "ab") -> Arm:
    return Arm(name, lambda: trace.append(f"prepare {name}"), lambda: trace.append(name), lambda: Answer(2, made))


def burn() -> None:
    end_s = process_time() + 0.3
    while process_time() < end_s:
        pass


def pair(ours_s: float, peer_s: float, noise: Noise = QUIET, memory_mb: float = 100.0) -> Pair:
    """Wall as given, CPU twice that for ours and three times that for the peer."""
    ours = Sample("ours", ours_s, 2 * ours_s, memory_mb, Answer(1, "a"))
    return Pair(ours, Sample("peer", peer_s, 3 * peer_s, memory_mb, Answer(1, "a")), noise)


@pytest.mark.parametrize("program", [BURN, ORPHANING], ids=["child", "orphaned grandchild"])
def test_cpu_time_of_the_dead_counts(program: str, tmp_path: Path) -> None:
    before = tree_cpu_s()

    run_process([sys.executable, "-c", program], tmp_path, tmp_path / "log")

    assert 0.45 < tree_cpu_s() - before < 0.9  # 0.5 burnt and counted in ticks; the rest is two starts of Python


def test_a_sleeping_child_costs_no_cpu_time(tmp_path: Path) -> None:
    before = tree_cpu_s()

    run_process(["sleep", "0.5"], tmp_path, tmp_path / "log")

    assert tree_cpu_s() - before < 0.2


def test_memory_of_a_child_counts(tmp_path: Path) -> None:
    def held() -> float:
        with Peak() as before:
            pass
        with Peak() as peak:
            run_process([sys.executable, "-c", HOLD_200_MB], tmp_path, tmp_path / "log")
        return peak.mb - before.mb

    assert any(200 <= held() < 260 for _ in range(10))  # one that is seen as it forks counts all that we hold twice


def test_a_failing_process_is_told_with_its_last_words(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo out of luck; exit 7"]

    with pytest.raises(PlatformError) as error:
        run_process(argv, tmp_path, tmp_path / "log")

    assert str(error.value) == "sh -c echo out of luck; exit 7 ended with 7; its last words:\nout of luck\n"


def test_the_order_flips_with_every_pair_after_the_warm_ups() -> None:
    trace: list[str] = []

    pairs = list(run_pairs(arm("ours", trace), arm("peer", trace), count=3, warmups=1))

    ran = [step for step in trace if not step.startswith("prepare")]
    assert ran == ["ours", "peer", "ours", "peer", "peer", "ours", "ours", "peer"]
    assert [(p.ours.arm, p.peer.arm) for p in pairs] == [("ours", "peer")] * 3


def test_only_the_act_is_measured() -> None:
    lazy = Arm("lazy", prepare=burn, act=lambda: None, answer=lambda: Answer(0, ""))

    (measured,) = run_pairs(lazy, lazy, count=1, warmups=0)

    assert measured.ours.cpu_s < 0.1


def test_different_answers_fail_the_run() -> None:
    ours, peer = arm("ours", [], "ab"), arm("peer", [], "cd")

    with pytest.raises(DataError) as error:
        list(run_pairs(ours, peer, count=1, warmups=0))

    assert str(error.value) == "ours made 2 rows with hash ab, but peer made 2 rows with hash cd"


def test_the_verdict_is_the_median_of_paired_ratios() -> None:
    # ratios 2, 3 and 10: the ratio of the medians would be 8 / 2 = 4
    pairs = [pair(1, 2), pair(4, 12), pair(2, 20)]

    assert verdict(pairs) == Verdict(3, 0, wall=Ratio(3, 2, 10), cpu=Ratio(4.5, 3, 15))


@pytest.mark.parametrize(
    "noise", [Noise(others=0.2, steal=0.0, psi=0.0, load=0.0), Noise(others=0.0, steal=0.06, psi=0.0, load=0.0)]
)
def test_a_disturbed_pair_is_dropped_and_counted(noise: Noise) -> None:
    pairs = [pair(1, 2), pair(1, 2), pair(1, 2), pair(1, 99, noise)]

    assert verdict(pairs) == Verdict(4, 1, wall=Ratio(2, 2, 2), cpu=Ratio(3, 3, 3))


def test_there_is_no_verdict_when_more_than_30_percent_are_dropped() -> None:
    loud = Noise(others=0.2, steal=0.0, psi=0.0, load=0.0)

    assert verdict([pair(1, 2), pair(1, 2), pair(1, 2, loud)]) == Verdict(3, 1, wall=None, cpu=None)


def test_each_bound_that_does_not_hold_is_one_sentence() -> None:
    slow = Result("b11a", "full", "tuned", [pair(10, 10, memory_mb=900)], verdict([pair(10, 10)]))
    bounds = {"b11a/full/tuned": {"target": 4.0, "regression": 2.0, "wall_s": 5.0, "memory_mb": 800.0}}

    assert list(below([slow], bounds)) == [
        "b11a/full/tuned: CPU ratio 1.50 is below its bound 2.0",
        "b11a/full/tuned: ours took 10 s, more than 5 s",
        "b11a/full/tuned: ours held 900 MB, more than 800 MB",
    ]


def test_the_table_shows_no_ratio_without_a_verdict() -> None:
    loud = [pair(1, 2, Noise(others=0.5, steal=0.0, psi=0.0, load=9.0))]
    results = [
        Result("b01", "start", "ivy", [pair(1, 2)], verdict([pair(1, 2)])),
        Result("b01", "start", "plain", loud, verdict(loud)),
    ]

    assert table(results).splitlines()[1:] == [
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| b01 | start | ivy | **3.00** (3.00 to 3.00) | **2.00** (2.00 to 2.00) | 1.0 s, 2.0 s, 100 MB | 1 of 1 |",
        "| b01 | start | plain | no verdict: disturbed | no verdict: disturbed | 1.0 s, 2.0 s, 100 MB | 0 of 1 |",
    ]
