"""What a monitor's figures are, against scipy, closed forms and hand counts; and what is said of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf, log, log2, nan

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance

from pipelines.errors import DataError
from pipelines.monitor.attribution import compared, ndcg
from pipelines.monitor.bins import KNOWN, TOP, Categories, Numbers, from_json
from pipelines.monitor.comparing import compare
from pipelines.monitor.deciding import Closed, Said, Seen, decide, judge
from pipelines.monitor.estimating import Calibration, Errors, calibrate, errors, expected, resampled
from pipelines.monitor.history import courses, newest_windows
from pipelines.monitor.statistics import (
    benjamini_hochberg,
    chi_squared,
    chi_squared_tail,
    jensen_shannon,
    psi,
    same_share,
    wasserstein,
)
from pipelines.monitor.tallies import Totals, by_label, merged, rows_of, scored
from pipelines.spec.monitor import Attribution, Drift, Monitor, Performance, Retrain
from pipelines.state import Record
from pipelines.told import Tally

JANUARY, FEBRUARY, MARCH = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
WATCH = Monitor(scores="daily").of("binary")
GOOD = Seen(rows=1_000, compared=5, labelled=900, before=0.7, true=(0.7, 0.68, 0.72), estimated=0.69)


def histograms(seed: int, bins: int = 12) -> tuple[list[int], list[int]]:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(20, 200, bins).tolist() for _ in range(2))  # type: ignore[return-value]


def test_psi_of_empty_bins_is_finite():
    # half a row each: shares 3/4, 1/4 against 1/4, 3/4
    assert psi([1, 0], [0, 1]) == pytest.approx(log(3))


def test_psi_of_many_rows_is_the_symmetric_divergence():
    p, q = (np.array(h) * 1e9 for h in histograms(1))

    actual = psi(p.tolist(), q.tolist())

    assert actual == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_jensen_shannon_is_scipys(seed):
    p, q = histograms(seed)

    assert jensen_shannon([*p, 0, 3], [*q, 4, 0]) == pytest.approx(
        distance.jensenshannon([*p, 0, 3], [*q, 4, 0], base=2)
    )


def test_the_same_shares_are_no_distance_and_no_bin_in_common_is_the_greatest():
    assert psi([10, 30], [10, 30]) == jensen_shannon([10, 30], [100, 300]) == 0
    assert jensen_shannon([5, 0], [0, 7]) == 1


@pytest.mark.parametrize("seed", range(5))
def test_wasserstein_is_scipys_in_standard_deviations(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(10, 3, 40), rng.normal(12, 2, 30)
    (p, _), (q, _) = histograms(seed, 40), histograms(seed + 9, 30)
    spread = np.sqrt(np.average((a - np.average(a, weights=p)) ** 2, weights=p))

    actual = wasserstein((a.tolist(), p), (b.tolist(), q))

    assert actual == pytest.approx(stats.wasserstein_distance(a, b, p, q) / spread)


def test_a_constant_has_no_spread_and_is_left_by_a_share_of_the_rows():
    assert wasserstein(([4.0], [10]), ([4.0], [3])) == 0
    assert wasserstein(([4.0], [10]), ([4.0, 9.0], [3, 1])) == 0.25


@pytest.mark.parametrize("seed", range(5))
def test_chi_squared_is_scipys_where_no_bin_is_sparse(seed):
    p, q = histograms(seed)
    known = stats.chi2_contingency(np.array([p, q]), correction=False)

    assert chi_squared(p, q) == pytest.approx((known.statistic, known.pvalue))


def test_sparse_bins_are_judged_together():
    # the last three have too few rows alone; together they are 6 of 106 against 9 of 109
    known = stats.chi2_contingency(np.array([[60, 40, 6], [50, 50, 9]]), correction=False)

    assert chi_squared([60, 40, 2, 2, 2], [50, 50, 3, 3, 3]) == pytest.approx((known.statistic, known.pvalue))
    assert chi_squared([900, 1], [800, 0]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([0, 1_000], [3, 97]),
        ([300, 99_700], [41, 959]),
        ([1, 8], [11, 3]),
        ([0, 8], [2, 6]),
        ([0, 5], [0, 3]),
        ([9_999_990, 10], [995, 5]),
    ],
)
def test_a_share_of_few_rows_is_compared_as_by_scipys_exact_test(before, now):
    assert same_share(before, now) == pytest.approx(stats.fisher_exact([before, now]).pvalue, rel=1e-4)


def test_a_share_of_many_rows_is_compared_by_chi_squared():
    assert same_share([30, 970], [60, 940]) == chi_squared([30, 970], [60, 940])[1]


@pytest.mark.parametrize("degrees", [1, 2, 3, 11, 12, 53])
@pytest.mark.parametrize("x", [0.0, 0.01, 1.0, 11.0, 60.0, 700.0, 5_000.0])
def test_the_tail_of_chi_squared_is_scipys(degrees, x):
    assert chi_squared_tail(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-9, abs=1e-300)


def test_adjusted_p_values_are_scipys():
    chances = [*np.random.default_rng(1).random(30).tolist(), 1e-9, 1e-4, 1e-4, 1.0]

    assert benjamini_hochberg(chances) == pytest.approx(stats.false_discovery_control(chances).tolist())
    assert benjamini_hochberg([]) == []


@pytest.mark.parametrize("statistic", [psi, jensen_shannon, chi_squared])
def test_what_cannot_be_compared_is_refused(statistic):
    for before, now, why in (
        ([0, 0], [1, 2], "no rows to compare (before 0, now 3)"),
        ([1, 2, 3], [1, 2], "3 bins before against 2 now"),
    ):
        with pytest.raises(DataError) as caught:
            statistic(before, now)
        assert str(caught.value) == f"{statistic.__name__}: {why}"


def test_a_number_has_a_place_for_each_quantile_for_both_ends_and_for_none():
    bins = Numbers.of([1.0, 2.0, 2.0, 5.0])  # least 1, greatest 5

    placed = bins.place(np.array([-inf, 0.9, 1.0, 2.0, 2.1, 5.0, 5.1, inf, nan]))

    assert placed.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert bins.slots == 5
    assert Numbers.of([]).place(np.array([1.0, nan])).tolist() == [0, 1]


def test_a_constant_is_left_to_both_sides():
    assert Numbers.of([7.0, 7.0]).place(np.array([6.9, 7.0, 7.1])).tolist() == [0, 1, 2]


def test_bins_are_kept_as_they_are():
    many = Categories.of([f"v{i}" for i in range(KNOWN + 1)])

    for bins in (Numbers.of([1.0, 2.5], 0.5), Numbers.of([1.0], inf), many, Categories.of(["a"]), Numbers.of([])):
        assert from_json(bins.as_json()) == bins
    assert from_json({"edges": [1.0]}) == Numbers((1.0,))  # as it was kept before it had a spread
    assert (len(many.values), len(many.others), many.complete) == (TOP, KNOWN - TOP, False)


def tally(batch: int, window: datetime | None, column: str, counts: dict, whole: bool = False, bins=None) -> Tally:
    return Tally("p", "monitors.w", "r", 0, batch, JANUARY, 1, window, column, whole, counts, bins or {})


def test_the_counts_of_a_window_are_the_sums_of_its_batches():
    totals = Totals.of([
        tally(0, None, "x", {"rows": [0, 9, 0, 1]}, bins=Numbers.of([1.0, 2.0]).as_json()),
        tally(0, JANUARY, "x", {"rows": [1, 2, 0, 0], "sums": [0.5, 3.0, 0.0, 0.0]}),
        tally(1, JANUARY, "x", {"rows": [0, 1, 1, 4], "sums": [0.0, 1.5, 9.0, 0.0]}),
        tally(1, FEBRUARY, "x", {"rows": [0, 1, 0, 0], "sums": [0.0, 1.0, 0.0, 0.0]}),
    ])  # fmt: skip

    assert totals.windows[JANUARY, 1]["x"] == {"rows": [1, 3, 1, 4], "sums": [0.5, 4.5, 9.0, 0.0]}
    assert totals.windows[FEBRUARY, 1]["x"]["rows"] == [0, 1, 0, 0]
    assert totals.references[1].bins == {"x": Numbers((1.0, 2.0))}
    assert rows_of(totals.windows[JANUARY, 1]["x"]) == 9


def test_a_window_that_was_counted_whole_begins_anew():
    totals = Totals.of([
        tally(0, JANUARY, "", {"0": {"3": 5}, "1": {}, "unknown": {}, "unscored": 0}, whole=True),
        tally(1, JANUARY, "", {"0": {"3": 4}, "1": {"5": 1}, "unknown": {"5": 2}, "unscored": 1}, whole=True),
    ])  # fmt: skip
    counts = totals.windows[JANUARY, 1][""]

    assert by_label(counts, 8).sum(axis=0).tolist() == [4, 1]
    assert scored(counts, 8).tolist() == [0, 0, 0, 4, 0, 3, 0, 0]
    assert rows_of(counts) == 8


def test_scores_add_up_by_label_and_bin():
    one = {"0": {"3": 5}, "1": {"1": 1}, "unknown": {}, "unscored": 1}

    assert merged(one, {"0": {"3": 1, "4": 2}, "1": {}, "unknown": {"7": 1}, "unscored": 2}) == {
        "0": {"3": 6, "4": 2}, "1": {"1": 1}, "unknown": {"7": 1}, "unscored": 3,
    }  # fmt: skip


def counted(bins: Numbers, values: np.ndarray) -> dict[str, list[float]]:
    """What Spark would count."""
    place = bins.place(values)
    known = np.where(np.isnan(values), 0, values)
    return {
        "rows": np.bincount(place, minlength=bins.slots).tolist(),
        "sums": np.bincount(place, known, minlength=bins.slots).tolist(),
    }


def number(before: np.ndarray, now: np.ndarray, drift: Drift | None = None):
    edges, spread = ([], None) if not len(before) else (np.quantile(before, np.linspace(0, 1, 11)), before.std())
    bins = Numbers.of(list(edges), spread)
    return compare(drift or Drift(), {"x": bins}, {"training": {"x": counted(bins, before)}}, {"x": counted(bins, now)})


def test_a_shifted_number_drifts_and_an_equal_one_does_not():
    rng = np.random.default_rng(1)
    before = rng.normal(0, 1, 20_000)

    (same,), (moved,) = number(before, rng.normal(0, 1, 2_000)), number(before, rng.normal(1, 1, 2_000))

    assert (same.drifted, moved.drifted) == (False, True)
    assert same.psi < 0.02 and moved.psi > 0.5
    assert moved.wasserstein == pytest.approx(1, abs=0.1)  # one standard deviation


def test_of_a_long_tail_the_distance_is_in_deviations_of_the_rows_and_not_of_the_means_of_bins():
    before = np.random.default_rng(4).lognormal(0, 2, 20_000)

    (moved,) = number(before, 3 * before)

    assert moved.wasserstein == pytest.approx(stats.wasserstein_distance(before, 3 * before) / before.std(), rel=0.05)


def test_a_small_window_is_far_and_has_not_drifted():
    rng = np.random.default_rng(2)
    before = rng.normal(0, 1, 20_000)

    found = [number(before, rng.normal(0, 1, 30))[0] for _ in range(100)]

    assert sum(c.psi > 0.2 for c in found) > 50
    assert sum(c.drifted for c in found) <= 10  # 5 % false discoveries of one feature are 5 false alarms


def test_a_large_window_differs_by_little_and_has_not_drifted():
    rng = np.random.default_rng(3)

    (found,) = number(rng.normal(0, 1, 200_000), rng.normal(0.05, 1, 200_000))

    assert found.chance < 1e-6
    assert not found.drifted


def test_a_constant_that_moves_drifts():
    (found,) = number(np.full(1_000, 3.0), np.full(500, 4.0))

    assert (found.drifted, found.wasserstein) == (True, 1.0)


def test_values_that_are_gone_and_values_that_are_not_numbers_are_missing():
    (gone,) = number(np.arange(1_000.0), np.full(500, nan))

    assert (gone.missing, gone.missing_before, gone.wasserstein, gone.drifted) == (1.0, 0.0, None, True)


@pytest.mark.parametrize(("share", "said"), [(0.04, None), (0.09, "missing")])
def test_a_rise_of_missing_values_that_psi_passes_over_has_a_limit_of_its_own(share, said):
    before, now = np.arange(10_000.0), np.arange(10_000.0)
    before[:400], now[: int(400 + share * 10_000)] = nan, nan

    (found,) = number(np.random.default_rng(1).permutation(before), now)

    assert found.psi < 0.2
    assert (found.statistic, found.drifted) == ((said, True) if said else ("psi", False))
    assert not said or number(before, now, Drift(missing=0.2))[0].drifted is False


def test_new_categories_that_psi_passes_over_have_a_limit_of_their_own():
    before, now = {"c": {"rows": [5_000, 5_000, 0, 500, 0]}}, {"c": {"rows": [4_700, 4_700, 0, 600, 0]}}

    (found,) = compare(Drift(), {"c": Categories.of(["a", "b"])}, {"training": before}, now)

    assert found.psi < 0.2 and (found.statistic, found.distance, found.drifted) == ("new", 0.06, True)


def test_a_new_category_is_told_from_a_rare_one():
    bins = Categories.of(["a", "b"])
    before, now = {"c": {"rows": [500, 500, 0, 0, 0]}}, {"c": {"rows": [200, 200, 0, 100, 0]}}

    (found,) = compare(Drift(), {"c": bins}, {"training": before}, now)

    assert (found.new, found.drifted, found.wasserstein) == (0.2, True, None)


def test_of_too_many_categories_none_is_called_new():
    bins = Categories(("a",), ("b",), complete=False)

    (found,) = compare(Drift(), {"c": bins}, {"training": {"c": {"rows": [5, 5, 0, 0]}}}, {"c": {"rows": [5, 5, 0, 0]}})

    assert found.new is None


def test_a_feature_has_its_own_limit_or_is_only_shown():
    rng = np.random.default_rng(4)
    before, now = rng.normal(0, 1, 5_000), rng.normal(1, 1, 5_000)

    assert not number(before, now, Drift(features={"x": 5.0}))[0].drifted
    assert not number(before, now, Drift(ignore=("x",)))[0].drifted
    assert number(before, now, Drift(statistic="wasserstein"))[0].statistic == "wasserstein"
    assert number(before, np.full(100, nan), Drift(statistic="wasserstein"))[0].statistic == "jensen_shannon"


def test_a_feature_without_rows_on_a_side_is_not_compared():
    assert number(np.array([]), np.array([1.0])) == ()
    assert number(np.array([1.0]), np.array([])) == ()


def test_the_calibration_of_calibrated_scores_changes_nothing():
    made = calibrate([[p, p, 100] for p in (0.1, 0.2, 0.4, 0.8)])

    assert (made.intercept, made.slope) == pytest.approx((0, 1), abs=1e-8)
    assert made.error == pytest.approx(0, abs=1e-9)


def test_a_calibration_finds_what_was_done_to_the_scores():
    score = np.array([0.05, 0.1, 0.3, 0.5, 0.7, 0.9])
    chance = 1 / (1 + np.exp(-(0.5 + 2 * np.log(score / (1 - score)))))

    made = calibrate(np.stack([score, chance, np.full(6, 50)], axis=1).tolist())

    assert (made.intercept, made.slope) == pytest.approx((0.5, 2))


@pytest.mark.parametrize("points", [[], [[0.3, 0.2, 10]], [[0.2, 0.9, 50], [0.8, 0.1, 50]]])
def test_what_cannot_be_calibrated_is_taken_as_it_is_and_says_so(points):
    assert calibrate(points) == Calibration(0.0, 1.0, None)


def test_the_estimate_is_what_labels_drawn_from_the_scores_would_give():
    rng = np.random.default_rng(5)
    scores = rng.beta(2, 5, 200_000)
    labels = rng.random(200_000) < scores
    place = (scores * 4096).astype(int)
    rows = np.bincount(place, minlength=4096).astype(float)

    likely = expected(rows, Calibration())

    assert likely.sum() == pytest.approx(200_000)
    assert likely[:, 1].sum() == pytest.approx(labels.sum(), rel=0.01)
    known = stats.mannwhitneyu(scores[labels], scores[~labels]).statistic / (labels.sum() * (~labels).sum())
    below = np.cumsum(likely[:, 0]) - likely[:, 0] / 2
    assert likely[:, 1] @ below / likely.sum(axis=0).prod() == pytest.approx(known, abs=0.004)


def test_resampled_counts_have_both_labels_and_the_mean_that_they_were_drawn_from():
    counts = np.array([[30.0, 2.0], [10.0, 8.0]])

    drawn = resampled(counts, 400, seed=1)

    assert np.mean(drawn, axis=0) == pytest.approx(counts, rel=0.1)
    assert resampled(np.array([[9.0, 0.0]]), 50, seed=1) == []


@pytest.mark.parametrize(
    ("seen", "verdict", "reasons"),
    [
        (Seen(rows=0), "investigate", ["no row was scored"]),
        (Seen(rows=99), "unchecked", ["nothing is checked: 99 rows, 100 are needed"]),
        (GOOD, "wait", ["roc_auc 0.7000 (0.6800 to 0.7200) holds against 0.7000", "none of 5 features drifted"]),
        (Seen(**{**vars(GOOD), "true": (0.6, 0.58, 0.62)}), "retrain",
         ["roc_auc 0.6000 (0.5800 to 0.6200), 0.1000 below 0.7000", "none of 5 features drifted"]),
        (Seen(**{**vars(GOOD), "true": (0.6, 0.4, 0.8)}), "wait",  # may be chance
         ["roc_auc 0.6000 (0.4000 to 0.8000) holds against 0.7000", "none of 5 features drifted"]),
        (Seen(**{**vars(GOOD), "labelled": 0, "true": None}), "wait",
         ["labels of 0 of 1,000 rows are known; roc_auc is estimated at 0.6900, against 0.7000",
          "none of 5 features drifted"]),
        (Seen(**{**vars(GOOD), "labelled": 0, "true": None, "estimated": 0.6}), "investigate",
         ["labels of 0 of 1,000 rows are known; roc_auc is estimated at 0.6000, against 0.7000",
          "none of 5 features drifted"]),
        (Seen(**{**vars(GOOD), "labelled": 0, "true": None, "estimated": None}), "investigate",
         ["labels of 0 of 1,000 rows are known; roc_auc cannot be estimated either", "none of 5 features drifted"]),
        (Seen(**{**vars(GOOD), "untold": "all 900 rows lack it", "true": None}), "wait",
         ["all 900 rows lack it; roc_auc is estimated at 0.6900, against 0.7000",
          "none of 5 features drifted"]),
        (Seen(**{**vars(GOOD), "scores": {"previous": 0.31}}), "wait",
         ["roc_auc 0.7000 (0.6800 to 0.7200) holds against 0.7000", "none of 5 features drifted",
          "scores drifted from the window before (psi 0.31)"]),
        (Seen(**{**vars(GOOD), "labelled": 9, "scores": {"previous": 0.31}}), "investigate",
         ["scores drifted from the window before (psi 0.31)",
          "labels of 9 of 1,000 rows are known; roc_auc is estimated at 0.6900, against 0.7000",
          "none of 5 features drifted"]),
        (Seen(**{**vars(GOOD), "drifted": ("x (psi 0.50)",)}), "wait",
         ["roc_auc 0.7000 (0.6800 to 0.7200) holds against 0.7000", "1 of 5 features drifted: x (psi 0.50)"]),
        (Seen(**{**vars(GOOD), "labelled": 9, "drifted": tuple(f"{n} (psi 0.50)" for n in "abcd")}), "investigate",
         ["4 of 5 features drifted: a (psi 0.50), b (psi 0.50), c (psi 0.50) and 1 more",
          "labels of 9 of 1,000 rows are known; roc_auc is estimated at 0.6900, against 0.7000"]),
        (Seen(**{**vars(GOOD), "compared": 0}), "investigate",
         ["no feature was checked", "roc_auc 0.7000 (0.6800 to 0.7200) holds against 0.7000"]),
        (Seen(**{**vars(GOOD), "no_reference": "it is gone"}), "investigate",
         ["no reference: it is gone", "roc_auc 0.7000 (0.6800 to 0.7200) holds against 0.7000"]),
        (Seen(**{**vars(GOOD), "first": True}), "wait",
         ["roc_auc 0.7000 (0.6800 to 0.7200) holds against 0.7000", "no feature is checked in the first window"]),
        (Seen(**{**vars(GOOD), "before": None}), "investigate",
         ["roc_auc has nothing to be held against", "none of 5 features drifted"]),
        (Seen(**{**vars(GOOD), "unscored": 3, "counted": 990}), "investigate",
         ["3 rows have no score", "features of 990 of 1,000 rows were counted",
          "roc_auc 0.7000 (0.6800 to 0.7200) holds against 0.7000", "none of 5 features drifted"]),
    ],
)  # fmt: skip
def test_a_window_has_a_verdict_and_its_reasons(seen, verdict, reasons):
    said = judge(WATCH, seen)

    assert (said.verdict, list(said.reasons)) == (verdict, reasons)


def test_estimates_that_were_off_are_no_comfort_and_chance_is_no_reason():
    unlabelled = replace(GOOD, labelled=0, true=None)
    said = judge(WATCH, replace(unlabelled, errors=Errors(0.0612, 4, 0.001)))

    assert (said.verdict, said.reasons[0]) == (
        "investigate",
        "labels of 0 of 1,000 rows are known; roc_auc is estimated at 0.6900, against 0.7000; "
        "estimates were off by 0.0612 on average over 4 windows",
    )
    for believed in (Errors(0.04, 4, 0.001), Errors(0.0612, 4, 0.2), None):
        assert judge(WATCH, replace(unlabelled, errors=believed)) == judge(WATCH, unlabelled)
    assert judge(WATCH, replace(GOOD, errors=Errors(0.0612, 1, 0.001))).verdict == "wait"  # its labels tell


def test_the_chance_that_right_estimates_are_as_far_off_is_scipys():
    found = errors([(0.05, (0.7, 0.7 - 0.0196, 0.7 + 0.0196)), (-0.02, (0.7, 0.7 - 0.0392, 0.7 + 0.0392))])

    assert found and (found.mean, found.windows) == (pytest.approx(0.035), 2)
    assert found.chance == pytest.approx(stats.chi2.sf(5**2 + 1, 2))  # spreads of 0.01 and 0.02
    assert errors([]) is None


def test_the_limits_are_those_of_the_conf():
    monitor = Monitor(scores="daily", rows=2_000, performance=Performance(drop=0.2)).of("binary")

    assert judge(monitor, GOOD).reasons == ("nothing is checked: 1,000 rows, 2,000 are needed",)
    strict = WATCH.model_copy(update={"performance": Performance(drop=0.01, labelled=0.95).of("binary")})
    assert judge(strict, GOOD).reasons[0].startswith("labels of 900 of 1,000 rows are known")


@pytest.mark.parametrize(
    ("true", "verdict", "reason"),
    [
        ((12.5, 12.0, 13.0), "retrain", "mae 12.5 (12 to 13), 25% above 10"),
        ((12.5, 9.0, 16.0), "wait", "mae 12.5 (9 to 16) holds against 10"),  # may be chance
        ((10.9, 10.8, 11.0), "wait", "mae 10.9 (10.8 to 11) holds against 10"),  # not a tenth
        ((2.0, 1.9, 2.1), "wait", "mae 2 (1.9 to 2.1) holds against 10"),
        (None, "wait", "no label is known; mae waits for them"),
    ],
)
def test_an_error_is_worse_where_it_is_larger(true, verdict, reason):
    seen = replace(GOOD, before=10.0, true=true, estimated=None, estimable=False)

    said = judge(Monitor(scores="daily").of("regression"), seen)

    assert (said.verdict, said.reasons[0]) == (verdict, reason)


def test_what_answers_hang_on_is_judged_where_it_is_watched():
    moved = Seen(**{**vars(GOOD), "labelled": 9, "attribution": 0.71})
    watched = WATCH.model_copy(update={"attribution": Attribution()})

    said = judge(watched, moved)

    assert (said.verdict, said.reasons[0]) == (
        "investigate", "answers hang on other features than at training (NDCG 0.71)"
    )  # fmt: skip
    assert judge(watched, replace(moved, labelled=900)).verdict == "wait"  # labels say that it did no harm
    assert judge(WATCH, moved).verdict == judge(watched, replace(moved, attribution=0.95)).verdict == "wait"
    untold = judge(watched, replace(moved, attribution=None))
    assert (untold.verdict, untold.reasons[0]) == ("investigate", "what answers hang on cannot be told of this model")


def test_the_gain_of_an_order_is_reckoned_by_hand():
    before = {"a": 3.0, "b": 2.0, "c": 1.0}

    swapped = (2 + 3 / log2(3) + 1 / 2) / (3 + 2 / log2(3) + 1 / 2)
    assert ndcg(before, {"b": 9.0, "a": 8.0, "c": 0.0}) == pytest.approx(swapped)
    assert ndcg(before, {"a": 0.3, "b": 0.2, "c": 0.1}) == ndcg({"a": 0.0}, {"a": 1.0}) == 1.0
    assert compared(before, {"b": 1.0})["features"] == [["b", 0.3333, 1.0], ["a", 0.5, 0.0], ["c", 0.1667, 0.0]]


def closed(*verdicts: str) -> list[Closed]:
    starts = [JANUARY + timedelta(days=7 * i) for i in range(len(verdicts))]
    return [
        Closed(f"w{i}", start + timedelta(days=7), Said(v, (f"why {i}", "and")))  # type: ignore[arg-type]
        for i, (v, start) in enumerate(zip(verdicts, starts, strict=True))
    ]


def test_the_worst_window_after_the_training_decides():
    windows = closed("retrain", "wait", "investigate", "investigate", "wait")

    assert decide(windows, None, JANUARY + timedelta(days=7)) == Said("investigate", ("w3: why 3", "and"), "w3")
    assert decide(windows, None, JANUARY) == Said("retrain", ("w0: why 0", "and"), "w0")


def test_without_a_window_after_the_training_nothing_is_decided():
    said = Said("wait", ("nothing is decided: no window after the model's training is over",))

    assert decide([], None, None) == decide(closed("retrain"), None, JANUARY + timedelta(days=7)) == said


def test_a_training_is_asked_for_once_it_has_cooled_down():
    windows, learned = closed("wait", "retrain"), JANUARY + timedelta(days=2)

    assert decide(windows, Retrain(cooldown="12 days"), learned).verdict == "retrain"  # 12 days to the window's end
    assert decide(windows, Retrain(cooldown="13 days"), learned) == Said(
        "wait", ("cools down: w1 ends 12 days after the last training, not 13 days", "w1: why 1", "and"), "w1"
    )


def test_a_training_that_would_cost_too_much_is_not_asked_for():
    windows, retrain = closed("wait", "retrain"), Retrain(cooldown="1 day", budget_usd=Decimal("0.50"))

    def asked(usd: str | None) -> Said:
        return decide(windows, retrain, JANUARY, Decimal(usd) if usd else None)

    assert asked("0.51") == Said(
        "investigate", ("w1: a training would cost about 0.5100 USD, budget_usd is 0.50", "why 1", "and"), "w1"
    )
    assert asked("0.5").verdict == asked(None).verdict == "retrain"


def window(start: datetime, version: int, distance: float, **more: object) -> dict[str, object]:
    feature = {"feature": "x", "statistic": "psi", "distance": distance, "most": 0.2, "drifted": distance > 0.2}
    name = f"{start:%B}"
    return {"window": start.isoformat(), "name": name, "model_version": version, "features": [feature], **more}


def record(generation: int, *windows: dict[str, object]) -> Record:
    said = {"windows": list(windows)}
    return Record("p", "monitors.w", generation, 0, "r", "d", "ok", JANUARY, 1.0, detail=said)


def test_a_window_is_shown_as_it_was_judged_last():
    old, first = record(0, window(MARCH, 9, 9.0)), record(1, window(JANUARY, 1, 0.1), window(FEBRUARY, 1, 0.1))
    again = record(1, window(FEBRUARY, 1, 0.5), window(FEBRUARY, 2, 0.3))

    found = newest_windows([old, first, again])

    assert [(w["name"], w["model_version"], w["features"][0]["distance"]) for w in found] == [
        ("January", 1, 0.1), ("February", 1, 0.5), ("February", 2, 0.3),
    ]  # fmt: skip
    assert newest_windows([]) == []


def test_the_course_of_a_feature_is_drawn_to_its_furthest_window():
    (course,) = courses([window(JANUARY, 1, 0.1), window(FEBRUARY, 1, 0.4)])

    assert course.dots == [
        (0.0, 0.25, False, "January: psi 0.100, limit 0.2"),
        (1.0, 1.0, True, "February: psi 0.400, limit 0.2, drifted"),
    ]
