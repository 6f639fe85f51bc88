"""A number some time ahead: what is learned was known, what is forecast lies ahead, errors held against a season."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from pyspark.sql import functions as F
from sklearn import metrics as sk

from pipelines import evaluate, tune
from pipelines.errors import DataError
from pipelines.evaluate import Forecasting
from pipelines.models import splits
from pipelines.models.ahead import labels, shifted
from pipelines.models.base import Inputs
from pipelines.models.embargo import embargoed
from pipelines.models.folds import Fold
from pipelines.run.backtesting import backtest, dealt
from pipelines.run.judging import together
from pipelines.spec import Feature, Model, Split
from pipelines.spec.task import KNOWN, LABEL, NAIVE

pytestmark = pytest.mark.spark

FEATURE = Feature(spine="sales", keys=("id",), as_of_time="at", columns=("shop",))
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DDL = "id int, shop string, at timestamp, sold double"


def model(horizon: str = "2 days", season: str = "3 days") -> Model:
    said = {"series": ("shop",), "every": "1 day", "horizon": horizon, "season": season}
    return Model.model_validate({
        "features": "days", "label": "sold", "task": "forecasting", "forecasting": said,
        "candidates": ({"kind": "linear_regression"},), "backtest": {"folds": 2, "window": "5 days"},
    })  # fmt: skip


def day(number: int) -> datetime:
    return FIRST + timedelta(days=number)


def sales(frame, days: int, shops: str = "ab"):
    """Shop a sells its day's number, shop b a hundred more."""
    rows = [(100 * j + i, s, day(i), float(100 * j + i)) for j, s in enumerate(shops) for i in range(days)]
    return frame(rows, DDL)


def valued(rows):
    """As if each value had been known with its row."""
    return rows.withColumns({LABEL: F.col("sold"), KNOWN: F.lit(None).cast("timestamp")})


def told(rows) -> dict[int, tuple[float | None, float | None]]:
    return {r["id"]: (r[LABEL], r[NAIVE]) for r in rows.collect()}


def test_a_label_lies_one_horizon_ahead_and_the_naive_forecast_one_season_before_it(frame):
    found = told(labels(sales(frame, 6), FEATURE, model(), {}, day(99)))

    # horizon 2, season 3: of day 1 the label is day 3's value, the naive forecast that of day 0
    assert found[1] == (3.0, 0.0) and found[103] == (105.0, 102.0)
    assert found[0] == (2.0, None) and found[4] == (None, 3.0)
    assert len(found) == 12


def test_a_label_is_not_told_before_it_is_known(frame):
    rows = sales(frame, 6, "a").withColumn("counted_at", F.col("at") + F.expr("INTERVAL 6 HOURS"))

    found = told(labels(rows, FEATURE, model(), {"sold": "counted_at"}, day(4)))

    # on day 4 the value of day 3 is known, that of day 4 six hours later
    assert found[1][0] == 3.0 and found[2][0] is None


def test_a_label_is_known_when_the_row_that_it_is_taken_from_knows_it(frame):
    rows = sales(frame, 6, "a").withColumn("counted_at", F.col("at") + F.expr("INTERVAL 6 HOURS"))

    by_wait = {}
    for wait, known_at in ((timedelta(0), {}), (timedelta(hours=6), {"sold": "counted_at"})):
        found = labels(rows, FEATURE, model(), known_at, day(99)).withColumn("at", F.unix_seconds(KNOWN))
        by_wait[wait] = {r.id: r.at and datetime.fromtimestamp(r.at, UTC) for r in found.collect()}

    # two days after the row, plus what counting takes; of days 4 and 5 there is no label
    for wait, found in by_wait.items():
        assert found == {**{i: day(i + 2) + wait for i in range(4)}, 4: None, 5: None}


def test_no_fold_of_a_backtest_learns_what_was_not_known_at_its_origin(frame):
    rows = labels(sales(frame, 40, "a"), FEATURE, model(), {}, day(99)).join(sales(frame, 40, "a"), "id")

    found = dealt(rows, "at", Fold(day(20), day(25)), model())

    # before day 20 the values up to day 19 are known, so the origins up to day 17: 15 of 18 are nearest to 0.7 / 0.85;
    # of those the last, day 14, would tell what happens on day 16, when what chooses has begun
    sides = {n: sorted(r.id for r in getattr(found, n).collect()) for n in ("train", "validate", "test")}
    assert sides == {"train": list(range(14)), "validate": [15, 16, 17], "test": list(range(20, 25))}
    assert {n: part["rows"] for n, part in found.summary.items()} == {"train": 14, "validate": 3, "test": 5}


def test_a_backtest_holds_each_fold_against_the_season_before(frame):
    rows = labels(sales(frame, 40, "a"), FEATURE, model(), {}, day(99)).join(sales(frame, 40, "a"), "id")
    problem = tune.Problem(Forecasting(), Inputs((), ("sold",)), ("id",), "at")

    found = backtest(rows.cache(), model(), FEATURE, problem, model().candidates[0], lambda text: None)

    # sales grow by 1 a day: the naive forecast is 2 + 1 days old, and a line through the days is right
    assert [f.get("why") for f in found] == [None, None]
    for fold in found:
        assert fold["baseline"]["mae"] == pytest.approx(3)
        assert fold["test"]["mae"][0] < 0.5 and fold["test_rows"] == 5


def test_no_forecast_hangs_on_what_comes_after_its_origin_but_the_label(frame):
    rows, asked = valued(sales(frame, 20, "a")), model().forecasting
    other = rows.withColumn(LABEL, F.when(F.col("at") > F.lit(day(9)), -F.col("sold")).otherwise(F.col("sold")))

    before, after = (told(shifted(each, ["id"], "at", asked)) for each in (rows, other))

    assert all(before[i][1] == after[i][1] for i in range(10))  # what was naive on day 9 or earlier
    assert before[8][0] == 10.0 and after[8][0] == -10.0


def test_a_gap_has_no_label_and_two_rows_of_a_moment_have_their_mean(frame):
    rows = frame([(0, "a", day(0), 1.0), (3, "a", day(3), 4.0), (2, "a", day(2), 5.0), (9, "a", day(2), 7.0)], DDL)

    found = told(shifted(valued(rows), ["id"], "at", model().forecasting))

    assert found == {0: (6.0, None), 3: (None, 6.0), 2: (None, None), 9: (None, None)}


def test_no_training_row_tells_what_was_not_known_when_validation_begins(frame):
    rows = labels(sales(frame, 40, "a"), FEATURE, model(), {}, day(99)).join(sales(frame, 40, "a"), "id")
    slices = splits.split(rows, "at", ["id"], Split(train=0.5, validate_=0.25, test=0.25))

    found = embargoed(slices, "at", timedelta(days=2))

    begins = {name: date.fromisoformat(found.summary[name]["from"]) for name in ("validate", "test")}
    for name, following in (("train", "validate"), ("validate", "test")):
        newest = getattr(found, name).agg(F.max("at")).first()[0].date()
        assert newest + timedelta(days=2) == begins[following]
        assert found.summary[name]["to"] == str(newest)
        assert found.summary[name]["rows"] == getattr(found, name).count()
    assert slices.summary["train"]["rows"] - found.summary["train"]["rows"] == 1


def test_a_slice_shorter_than_the_horizon_is_refused(frame):
    rows = sales(frame, 20, "a").withColumn(LABEL, F.col("sold"))
    slices = splits.split(rows, "at", ["id"], Split(train=0.5, validate_=0.25, test=0.25))

    with pytest.raises(DataError) as caught:
        embargoed(slices, "at", timedelta(days=8))

    sentence = "the slice to validate is shorter than the horizon, 8 days; land more, or forecast less far"
    assert str(caught.value) == sentence


@pytest.fixture(scope="module")
def scored(frame):
    rng = np.random.default_rng(4)
    actual, guess, naive = 50 + 9 * rng.standard_normal((3, 200))
    rows = [(i, "a", day(i), *map(float, v)) for i, v in enumerate(zip(guess, actual, naive, strict=True))]
    return (
        frame(rows, "id int, shop string, at timestamp, score double, _label double, _naive double"),
        actual,
        guess,
        naive,
    )


def test_errors_are_scikit_learns_and_mase_is_by_the_naive_error_on_training_rows(scored):
    rows, actual, guess, naive = scored
    task = Forecasting.learned(rows).asked(model(), FEATURE, rows.where("id < 100"))

    counts = evaluate.tally(task, rows, F.col("id")).whole

    scale = np.abs(naive[:100] - actual[:100]).mean()
    found, base = task.metrics(counts), task.baseline(counts)
    for figures, said in ((found, guess), (base, naive)):
        assert figures["mae"] == pytest.approx(sk.mean_absolute_error(actual, said))
        assert figures["rmse"] == pytest.approx(sk.root_mean_squared_error(actual, said))
        assert figures["r2"] == pytest.approx(sk.r2_score(actual, said))
        assert figures["mape"] == pytest.approx(sk.mean_absolute_percentage_error(actual, said))
        assert figures["mase"] == pytest.approx(np.abs(said - actual).mean() / scale)
    weeks = task.pictures(rows, counts)["origins"]
    assert sum(w["rows"] for w in weeks) == 25 * 7 + 4  # of 29 weeks the newest 26; the last has four days
    assert weeks[-1]["week"] == "2024-07-15"


def test_published_forecasts_have_errors_without_the_season_before(scored):
    rows, actual, guess, _ = scored

    task = Forecasting(mean=50.0, scale=2.0)
    found = task.metrics(evaluate.counts(task, rows.drop(NAIVE)))

    assert found["mase"] == pytest.approx(np.abs(guess - actual).mean() / 2)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([(1, "a", day(0), 1.0), (2, "a", day(0), 2.0)], "two rows of one origin"),
        ([(1, "a", day(0), 1.0), (2, "a", day(0) + timedelta(hours=5), 2.0)], "rows between its steps"),
    ],
)
def test_a_series_that_is_not_at_its_frequency_is_refused(frame, rows, sentence):
    train = frame(rows, DDL).withColumns({LABEL: F.col("sold"), NAIVE: F.lit(0.0)})

    with pytest.raises(DataError) as caught:
        Forecasting(mean=1.5).asked(model(), FEATURE, train)

    assert str(caught.value) == f"the series of shop a has {sentence}; forecasting.every says 1 day"


def test_a_registered_forecast_knows_its_scale():
    task = Forecasting(mean=3.0, scale=2.5)

    assert evaluate.restored({evaluate.TASK: "forecasting", **task.tags()}, None) == task


def test_an_interval_leaves_out_stretches_of_one_horizon(frame):
    groups = sales(frame, 8, "ab").withColumn("group", together(model(), FEATURE)).orderBy("id").collect()

    found = [r["group"] for r in groups]
    # of days 0 to 7, the first of them day 19,723 since 1970, for both shops alike
    assert found == [9861, 9862, 9862, 9863, 9863, 9864, 9864, 9865] * 2
