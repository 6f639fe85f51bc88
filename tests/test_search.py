"""What a conf can say of a search: ranges in place of values, a portfolio, rungs; and how it is refused."""

import pytest

from pipelines.errors import SpecError
from pipelines.plan import Stage, definition, effort
from pipelines.spec import LogisticRegression, Model, Pipeline, Search, Xgboost, load
from pipelines.spec.portfolio import PORTFOLIO
from pipelines.spec.search import Range
from pipelines.spec.text import yaml_text

CONF = """
pipeline: p
sources: {}
models:
  late:
    features: f
    label: late
    task: binary
    candidates: %s
"""
BOOST = "{kind: xgboost, rounds: 200, depth: [3, 8], learning_rate: {low: 0.01, high: 0.3, log: true}}"
STAGE = Stage("models", "late")


def loaded(tmp_path, candidates: str, more: str = "") -> Pipeline:
    path = tmp_path / "p.yml"
    path.write_text(CONF % candidates + more)
    return load(path)


def model(tmp_path, candidates: str, more: str = "") -> Model:
    return loaded(tmp_path, candidates, more).models["late"]


def test_a_range_stands_in_place_of_a_value(tmp_path):
    (found,) = model(tmp_path, f"[{BOOST}]").candidates

    assert found.ranges == {"depth": Range(low=3, high=8), "learning_rate": Range(low=0.01, high=0.3, log=True)}
    assert found.at({"depth": 5, "learning_rate": 0.1}) == Xgboost(kind="xgboost", rounds=200, depth=5)


def test_a_plain_value_stays_plain(tmp_path):
    assert model(tmp_path, "[{kind: xgboost, depth: 4}]").candidates == (Xgboost(kind="xgboost", depth=4),)


def test_a_search_starts_at_the_default_or_else_in_the_middle(tmp_path):
    inside, outside = (
        model(tmp_path, f"[{{kind: xgboost, depth: {d}, learning_rate: {r}}}]").candidates[0].start
        for d, r in (("[3, 8]", "[0.05, 0.3]"), ("[7, 10]", "{low: 0.2, high: 0.8, log: true}"))
    )

    assert inside == {"depth": 6, "learning_rate": 0.1}
    assert outside == {"depth": 8, "learning_rate": pytest.approx(0.4)}  # 8.5 to the even; sqrt(0.2 * 0.8)
    assert isinstance(outside["depth"], int)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("depth: [3, 80]", "late.candidates.0: depth: should be less than or equal to 16, got 80"),
        ("depth: [0, 8]", "late.candidates.0.depth: should be greater than 0, got 0"),
        ("depth: [3.5, 8]", "late.candidates.0.depth: should be a whole number, got 3.5"),
        ("depth: [3, 8.5]", "late.candidates.0: depth: should be a valid integer, got 8.5"),
        ("depth: [3]", "late.candidates.0: depth: a range is [low, high], got 1 values"),
        ("depth: [8, 3]", "late.candidates.0: depth: low should be less than high, got 8 and 3; a range is"),
        ("depth: {low: 3, heigh: 8}", "late.candidates.0: depth: high: Field required; a range is [low, high] or {low"),
        ("learning_rate: {low: 0, high: 1, log: true}", "learning_rate: low should be greater than 0 where log is"),
        ("workers: [1, 2]", "late.candidates.0.workers: should be a whole number"),
        ("ranges: {depth: [1, 2]}", "late.candidates.0: ranges: no such key; a range stands in place of a value"),
        ("dept: [1, 2]", "late.candidates.0.dept: no such key; did you mean 'depth'?"),
    ],
)
def test_a_range_that_cannot_be_is_one_sentence(tmp_path, options, sentence):
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, f"[{{kind: xgboost, {options}}}]")

    (line,) = str(caught.value).splitlines()
    assert sentence in line


def test_auto_is_the_portfolio_of_the_task(tmp_path):
    found = model(tmp_path, "auto")

    assert [c.kind for c in found.candidates] == [options["kind"] for options in PORTFOLIO["binary"]]
    assert found.searched and found.trials == 12


def test_fewer_trials_than_candidates_are_refused(tmp_path):
    with pytest.raises(SpecError, match=r"models\.late: search: 1 trials are too few for 3 candidates"):
        loaded(tmp_path, "auto", "    search: {trials: 1}\n")


def test_a_conf_without_ranges_is_defined_as_before(tmp_path):
    # as version 0.1.0 defined it: an upgrade trains nothing anew
    assert definition(loaded(tmp_path, "[{kind: xgboost, depth: 4}]"), STAGE) == "591e3daec6bb"


def test_a_changed_range_is_another_definition(tmp_path):
    one, other = (definition(loaded(tmp_path, f"[{BOOST.replace('[3, 8]', r)}]"), STAGE) for r in ("[3, 8]", "[3, 9]"))

    assert one != other


def test_halving_tries_all_on_few_rows_and_few_on_all():
    assert Search(halving=3).rungs(10) == ((pytest.approx(1 / 9), 10), (pytest.approx(1 / 3), 4), (1.0, 2))
    assert Search().rungs(10) == ((1.0, 10),)


@pytest.mark.parametrize(
    ("candidates", "more", "said"),
    [
        ("[{kind: xgboost}]", "", ""),
        (f"[{BOOST}]", "", "at most 12 trials of 1 candidate"),
        ("auto", "    search: {trials: 20, budget_minutes: 10}\n", "at most 20 trials of 3 candidates, 10 minutes"),
        (
            "auto",
            "    search: {halving: 2, budget_minutes: 0.5}\n",
            "at most 12 trials of 3 candidates on 25% of the rows, 6 again on 50%, 3 again on 100%, 0.5 minutes",
        ),
        ("auto", "    search: {budget_usd: 2.5}\n", "at most 12 trials of 3 candidates, 2.5 USD"),
    ],
)
def test_a_plan_says_what_a_search_costs_at_most(tmp_path, candidates, more, said):
    assert effort(loaded(tmp_path, candidates, more), STAGE) == said


def test_the_winner_is_a_conf_of_its_own(tmp_path):
    searched = model(tmp_path, f"[{BOOST}]", "    search: {metric: roc_auc, trials: 30}\n    gates: []\n")

    said = searched.won_by(searched.candidates[0].at({"depth": 5, "learning_rate": 0.03}))

    assert yaml_text({"models": {"late": said}}) == (
        "models:\n"
        "  late:\n"
        "    features: f\n"
        "    label: late\n"
        "    task: binary\n"
        "    candidates:\n"
        "    - {kind: xgboost, rounds: 200, depth: 5, learning_rate: 0.03, workers: 1}\n"
        "    search: {metric: roc_auc}\n"
        "    gates: []\n"
    )


def test_gates_are_the_named_ones_or_else_better_than_baseline_and_champion(tmp_path):
    unnamed, none, own = (
        model(tmp_path, "[{kind: xgboost}]", more).admission
        for more in ("", "    gates: []\n", "    gates: [{metric: log_loss, max: 0.5}]\n")
    )

    assert [(g.metric, g.versus) for g in unnamed] == [
        (m, v) for m in ("average_precision",) for v in ("baseline", "champion")
    ]
    assert none == ()
    assert [(g.metric, g.max) for g in own] == [("log_loss", 0.5)]


@pytest.mark.parametrize(
    ("gate", "sentence"),
    [
        ("{metric: f1}", "a gate has exactly one of min, max and versus"),
        ("{metric: f1, min: 0.1, max: 0.2}", "a gate has exactly one of min, max and versus"),
        ("{metric: f1, versus: champion, slice: origin}", "the gate of a slice has a min or a max"),
    ],
)
def test_a_gate_says_one_thing(tmp_path, gate, sentence):
    with pytest.raises(SpecError, match=sentence):
        loaded(tmp_path, "[{kind: xgboost}]", f"    gates: [{gate}]\n")


def test_a_candidate_without_ranges_begins_nowhere():
    assert LogisticRegression(kind="logistic_regression").start == {}
