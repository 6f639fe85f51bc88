"""What two versions answered, by a sample of requests as the endpoint writes it: against numpy and counts by hand."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import SpecError
from pipelines.requestlog import RequestLog, erase
from pipelines.traffic import beside


def ask(log: RequestLog, version: int, *scores: float | None, model: str = "p.late") -> None:
    answers = [{"score": s, "predicted": None if s is None else s >= 0.5} for s in scores]
    said = {"model": model, "version": version, "answers": answers, "warnings": []}
    log.add([{"id": f"{version}-{s}"} for s in scores], said)


@pytest.fixture
def folder(tmp_path) -> Path:
    log = RequestLog(tmp_path / "asked", 1.0)
    ask(log, 3, 0.25, 0.75)
    ask(log, 3, 0.5)
    log.write()
    ask(log, 4, 0.5, 0.875, 1.0, None)
    ask(log, 5, 0.0)
    ask(log, 3, 0.0, model="p.other")
    log.write()
    return log.folder


def test_each_version_is_told_with_how_far_they_are_apart(folder):
    found = beside(folder, "p.late", (3, 4))

    one, other = np.array([0.25, 0.75, 0.5]), np.array([0.5, 0.875, 1.0])
    wide = 1.96 * np.sqrt(one.var(ddof=1) / 3 + other.var(ddof=1) / 3)
    apart = other.mean() - one.mean()
    assert found["versions"] == [
        {"rows": 3, "requests": 2, "score": 0.5, "decided": {"true": 2 / 3, "false": 1 / 3}},
        {"rows": 4, "requests": 1, "score": pytest.approx(other.mean()), "decided": {"true": 0.75}},
    ]
    assert found["apart"] == pytest.approx([apart, apart - wide, apart + wide])


def test_of_one_row_or_none_no_bound_is_told(folder):
    found = beside(folder, "p.late", (5, 9))

    assert [v["rows"] for v in found["versions"]] == [1, 0]
    assert (found["versions"][1]["decided"], found["versions"][0]["score"], found["apart"]) == ({}, None, None)


def test_a_line_of_one_who_was_forgotten_counts_no_more(folder):
    assert erase(folder, {"id": "4-1.0"}) == 1

    assert beside(folder, "p.late", (3, 4))["versions"][1]["rows"] == 3


def test_a_folder_without_a_sample_says_what_keeps_one(tmp_path, folder):
    for where, model in ((tmp_path / "nowhere", "p.late"), (folder, "p.unknown")):
        with pytest.raises(SpecError, match=r"no sample of requests to .*`lakeloom serve --log-to` keeps one"):
            beside(where, model, (3, 4))
