"""A lock has one holder; the dead one's passes on, the paused one's is lost to it."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from deltalake import DeltaTable

from pipelines import locks
from pipelines.errors import ConflictError
from pipelines.locks import held

TAKE_AND_DIE = """
import os, signal, sys
from pipelines.locks import held
with held(sys.argv[1], "first"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def die_holding(path: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TAKE_AND_DIE, path], env={**os.environ, "PYTHONPATH": "."}, check=False
    )
    assert done.returncode == -9


def test_a_second_run_is_told_who_holds_the_lock(tmp_path):
    path = f"{tmp_path}/_locks/tables.flights"

    with held(path, "first"), pytest.raises(ConflictError) as refused, held(path, "second"):
        pass

    assert str(refused.value).startswith(f"tables.flights: run first is at it (process {os.getpid()} on ")
    assert refused.value.exit_code == 4


def test_a_released_lock_is_free(tmp_path):
    path = f"{tmp_path}/_locks/t"

    for run in ("first", "second", "third"):
        with held(path, run) as lock:
            lock.confirm()

    told = [json.loads(c["holder"]) for c in DeltaTable(path).history() if "holder" in c]
    assert [(h["run_id"], h["released"]) for h in told] == [
        (run, released) for run in ("third", "second", "first") for released in (True, False)
    ]


def test_a_stage_that_fails_releases_its_lock(tmp_path):
    path = f"{tmp_path}/_locks/t"

    with pytest.raises(ZeroDivisionError), held(path, "first"):
        raise ZeroDivisionError

    with held(path, "second"):
        pass


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path):
    path = f"{tmp_path}/_locks/t"
    die_holding(path)
    begun = time.monotonic()

    with held(path, "second"):
        assert time.monotonic() - begun < locks.BEAT_S


def test_of_many_that_take_it_at_once_one_gets_it(tmp_path):
    path, many = f"{tmp_path}/_locks/t", 6
    start, end = Barrier(many, timeout=60), Barrier(many, timeout=60)

    def take(number: int) -> bool:
        start.wait()
        try:
            with held(path, f"run {number}"):
                end.wait()
                return True
        except ConflictError:
            end.wait()
            return False

    for _ in range(5):  # at first the table is not there
        with ThreadPoolExecutor(many) as pool:
            assert sum(pool.map(take, range(many))) == 1


def test_a_holder_on_another_machine_is_dead_when_its_heart_stopped(tmp_path, monkeypatch):
    path = f"{tmp_path}/_locks/t"
    monkeypatch.setattr(locks, "_host", lambda: "elsewhere")
    die_elsewhere = locks._acquire(path, "first")
    monkeypatch.undo()
    with pytest.raises(ConflictError), held(path, "second"):
        pass
    monkeypatch.setattr(locks, "DEAD_S", 0.01)
    time.sleep(0.05)

    with held(path, "third") as lock:
        assert lock.holder.epoch == die_elsewhere.holder.epoch + 1


def test_a_paused_holder_finds_that_its_lock_went_on(tmp_path, monkeypatch):
    path = f"{tmp_path}/_locks/t"

    with held(path, "first") as paused:
        monkeypatch.setattr(locks, "DEAD_S", 0.0)
        monkeypatch.setattr(locks.Holder, "dead", property(lambda self: True))
        with held(path, "second"):
            pass
        with pytest.raises(ConflictError, match="t: another run took its lock while this one was paused"):
            paused.confirm()

    assert json.loads(DeltaTable(path).history(1)[0]["holder"])["run_id"] == "second"
    assert replace(paused.holder, released=True).run_id == "first"
