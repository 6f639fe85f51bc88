"""The report on a net that was trained: its loss, gradients and time by epoch, and since when a rule spoke."""

from math import nan
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from test_report import CHROMIUM, CONF, TRAINED, Page
from test_report_tasks import records

from pipelines.report import report
from pipelines.spec import Pipeline, load

LOSS = [0.62, 0.51, 0.46, 0.43, 0.41, 0.39, 0.37, 0.35]
HELD = [0.58, 0.5, 0.47, 0.46, 0.465, 0.475, 0.49, 0.51]
OVERFITTED = {"rule": "overfitting", "since": 7, "last": 8, "why": "rows that do not train have a loss of 0.51"}
DEAD = {"rule": "dead_units", "since": 2, "last": 8, "why": "40 of 64 hidden units answer 0"}


def epoch(number: int, **other: object) -> dict[str, object]:
    loss = LOSS[number % 8]
    return {
        "loss": loss, "held_loss": HELD[number % 8], "course": [loss + 0.004 * (10 - i) for i in range(20)],
        "gradient": {"median": 0.3, "most": 1.5, "first": 0.05, "last": 0.2}, "seconds": 10.0, "busy": 0.6,
        "profile": {"load": 1.0, "forward": 2.0, "backward": 3.0, "update": 1.0, "allreduce": 0.5, "wait": 1.5},
        "work_s": [8.0, 6.0], "rows": [950, 950], "pieces": [1, 1], **other,
    }  # fmt: skip


def trained(*epochs: dict[str, object], ailments: tuple[dict[str, object], ...] = ()) -> dict[str, object]:
    told = {"epochs": list(epochs), "ailments": list(ailments), "ranks": 2, "rows": 2_000, "steps": 19, "stopped": ""}
    return {**TRAINED, "task": "binary", "winner": "tabular_net", "training": told}


EIGHT = trained(*(epoch(i) for i in range(8)), ailments=(DEAD, OVERFITTED))


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / "flights.yml").write_text(CONF)
    return load(tmp_path / "flights.yml")


def test_a_training_is_drawn_by_epoch_with_the_rules_that_spoke(pipeline: Pipeline) -> None:
    html = report(pipeline, records(EIGHT))

    labels = [a["aria-label"] for a in Page(html).of("svg")]
    assert {"Loss by epoch", "Gradients by epoch", "Time by epoch"} <= set(labels)
    assert "<title>epoch 8, rows that train: 0.35</title>" in html
    assert "<title>epoch 4, rows kept out: 0.46</title>" in html
    assert "<title>epoch 1, largest step: 1.5</title>" in html
    assert "<title>overfitting: rows that do not train have a loss of 0.51</title>" in html
    assert ">dead_units</text>" in html and ">overfitting</text>" in html


def test_the_time_of_an_epoch_stands_by_what_ranks_did_with_it(pipeline: Pipeline) -> None:
    html = report(pipeline, records(EIGHT))
    text = Page(html).text

    assert "<title>epoch 3, forward: 20.0%</title>" in html and "<title>epoch 3, wait: 15.0%</title>" in html
    assert "In the last epoch the busiest process worked 8.0 s, the idlest 6.0 s." in text
    assert "pieces" not in text


def test_a_step_that_was_halved_is_told(pipeline: Pipeline) -> None:
    text = Page(report(pipeline, records(trained(epoch(0), epoch(1, pieces=[1, 4]))))).text

    assert "A step did not fit into memory, and was cut into up to 4 pieces." in text


def test_weights_that_a_net_began_with_are_named_with_their_hash(pipeline: Pipeline) -> None:
    told = trained(epoch(0))
    told["training"] |= {"pretrained": {"name": "digits", "sha256": "5f0c1d2be9a14c0f9d1c4f6a7b8c9d0e"}}

    text = Page(report(pipeline, records(told))).text

    assert "It began with the weights digits, SHA-256 5f0c1d2be9a1" in text


def test_of_many_epochs_some_stand_together(pipeline: Pipeline) -> None:
    html = report(pipeline, records(trained(*(epoch(i) for i in range(200)))))

    assert "<title>epochs 1 to 3, backward: 30.0%</title>" in html
    assert "<title>epochs 199 to 200, load: 10.0%</title>" in html
    assert html.count(", rows that train: ") == 80


@pytest.mark.parametrize(
    "ill",
    [
        {"loss": nan, "held_loss": None, "course": [None] * 20},
        {"gradient": {"median": 0.0, "most": 0.0, "first": 0.0, "last": 0.0}, "seconds": 0.0},
        {"loss": 1e30, "course": [1e30] * 20},
    ],
)
def test_what_is_no_number_or_beyond_a_scale_is_left_out(pipeline: Pipeline, ill: dict[str, object]) -> None:
    html = report(pipeline, records(trained(epoch(0, **ill))))

    assert "train: nan" not in html and "step: 0<" not in html
    assert [a["aria-label"] for a in Page(html).of("svg") if a["aria-label"].endswith("by epoch")] == [
        "Loss by epoch", "Gradients by epoch", "Time by epoch",
    ]  # fmt: skip


def test_a_training_from_before_parts_of_epochs_were_kept_is_drawn(pipeline: Pipeline) -> None:
    old = {k: v for k, v in epoch(0).items() if k not in ("course", "pieces")}

    page = Page(report(pipeline, records(trained(old))))

    assert "by twentieths of an epoch" not in page.text
    assert "Loss by epoch" in [a["aria-label"] for a in page.of("svg")]


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
def test_a_browser_shows_it_whole_and_silent(pipeline: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(report(pipeline, records(EIGHT)))
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 400, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.goto(file.as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()

    assert (said, overflow) == ([], 0)
