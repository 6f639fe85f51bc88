"""Money: each expected figure is reckoned by hand, to the last digit."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from pipelines.cost import Usage, a_thousand, cost, halved, over_budget, parts, predicted, storage, total
from pipelines.errors import DataError
from pipelines.metering import Executor, Reading
from pipelines.plan import Stage, Verdict
from pipelines.spec import Prices, Target, load
from pipelines.spending import predictions, refuse_over_budget, spent, spent_text
from pipelines.state import History, Record, Warehouse

GIB = 1024**3
PRICES = Prices(
    usd_core_hour=D("0.05"),
    usd_gib_hour=D("0.01"),
    usd_gib_read=D("0.002"),
    usd_gib_written=D("0.03"),
    usd_gib_shuffled=D("0.004"),
    usd_gib_month=D("0.02"),
)
# two hours of a core, half of it busy; 8 GiB for 15 minutes; 3 GiB read, half a GiB shuffled, a quarter written
USED = Usage(7_200_000, 3_600_000, 8 * 1024 * 900_000, 0, 3 * GIB, GIB // 2, GIB // 4)
RIDES = """
pipeline: rides
sources:
  days_raw: {kind: files, format: csv, path: days, schema: "day DATE, rides INT"}
tables:
  days: {from: days_raw, keys: [day], select: "SELECT day, rides FROM days_raw"}
  totals: {select: SELECT sum(rides) AS rides FROM days}
"""


def test_a_cost_is_the_sum_of_usage_times_price():
    # 2 x 0.05 + 2 GiB-hours x 0.01 + 3 x 0.002 + 0.25 x 0.03 + 0.5 x 0.004
    assert cost(USED, PRICES) == D("0.1355")
    assert parts(USED, PRICES) == {
        "cores": D("0.1"), "memory": D("0.02"), "gpus": D(0), "read": D("0.006"),
        "written": D("0.0075"), "shuffled": D("0.002"),
    }  # fmt: skip
    assert USED.idle == 0.5


def test_a_gpu_costs_as_long_as_an_executor_holds_it():
    # two GPUs for 15 minutes at 3 dollars an hour; half the cores, busy for half the time, hold them half as long again
    held = Usage(core_ms=3_600_000, task_ms=1_800_000, gpu_ms=2 * 900_000)

    assert cost(held, Prices(usd_gpu_hour=D(3))) == D("1.5")
    assert cost(halved(held), Prices(usd_gpu_hour=D(3))) == D("2.25")


@pytest.mark.parametrize(
    ("core_ms", "task_ms", "expected"),
    [
        # four cores for 1,000 ms, of which tasks kept them for 400: 2 cores for 600 + 800 ms
        (4_000, 1_600, (2_800, 700)),
        (4_000, 4_000, (4_000, 1_000)),  # never idle: as dear, twice as long
        (4_000, 0, (2_000, 500)),  # the driver alone: half as dear
        (4_000, 4_100, (4_000, 1_000)),  # clocks differ
        (0, 0, (0, 1_000)),
    ],
)
def test_half_the_cores_do_the_same_work_in_line(core_ms, task_ms, expected):
    found = halved(Usage(core_ms, task_ms, memory_mib_ms=1_000, read_bytes=7))

    assert (found.core_ms, found.memory_mib_ms, found.read_bytes) == (*expected, 7)


@pytest.mark.parametrize(
    ("core_ms", "price", "expected"),
    [
        (3_600_000, "0.0000005", "0.000000"),  # half a millionth: to the even one
        (3_600_000, "0.0000015", "0.000002"),
        (3_600_000, "0.000000501", "0.000001"),
        (1, "0.05", "0.000000"),  # 1.4e-8
        (1_200_000, "0.1", "0.033333"),  # a third of an hour
        (10**15, "0.1", "27777777.777778"),  # 32,000 years of a core: no digit is lost
    ],
)
def test_rounding_is_to_the_even_millionth_and_happens_once(core_ms, price, expected):
    assert cost(Usage(core_ms=core_ms), Prices(usd_core_hour=D(price))) == D(expected)


def test_tenths_add_up_as_no_binary_number_does():
    hour = Usage(core_ms=3_600_000)

    assert cost(total([hour] * 3), Prices(usd_core_hour=D("0.1"))) == D("0.3")
    assert total([]) == Usage() and Usage().idle is None


def test_a_prediction_is_the_median_of_the_last_five():
    hours = [100, 1, 2, 3, 4, 50]  # the first is too long ago, the last an exception

    assert predicted([Usage(core_ms=h * 3_600_000) for h in hours], Prices(usd_core_hour=D(1))) == D(3)
    assert predicted([Usage(core_ms=h * 3_600_000) for h in (1, 2)], Prices(usd_core_hour=D(1))) == D("1.5")
    assert predicted([], PRICES) is None


def test_storage_and_a_thousand_scores():
    assert storage(5 * GIB // 2, PRICES) == D("0.05")
    assert a_thousand(D("0.1355"), 54_200) == D("0.0025")
    assert a_thousand(D(1), 0) is None


def test_a_budget_is_kept_to_the_cent():
    prices = PRICES.model_copy(update={"budget_usd": D("0.30")})

    assert over_budget({"tables.days": D("0.1"), "tables.totals": D("0.2"), "scores.new": None}, prices) == ""
    assert over_budget({"tables.days": D("0.1"), "tables.totals": D("0.200001")}, prices) == (
        "it would cost about 0.3000 USD, by what its stages cost before (tables.totals 0.2000, tables.days 0.1000); "
        "budget_usd is 0.30"
    )
    assert over_budget({"tables.days": D(9)}, PRICES) == ""


@pytest.fixture
def kept(tmp_path: Path) -> tuple[object, Target]:
    """Two runs of a table, the second refused; and one that knows nothing of usage."""
    conf = tmp_path / "rides.yml"
    conf.write_text(RIDES)
    warehouse = Warehouse(str(tmp_path / "warehouse"), "rides")
    began = datetime(2026, 3, 1, tzinfo=UTC)
    ok = Record("rides", "tables.days", 0, 0, "r1", "d", "ok", began, 1.0, detail={"usage": vars(USED)})
    warehouse.write(ok)
    warehouse.write(replace(ok, batch=1, run_id="r2", status="refused"))
    warehouse.write(Record("rides", "tables.totals", 0, 0, "r1", "d", "ok", began, 1.0))
    return load(conf), Target(warehouse=str(tmp_path / "warehouse"), prices=PRICES)


def test_each_stage_has_its_bill(kept):
    days, totals = spent(*kept)

    assert (days["runs"], days["usd"], days["last_usd"], days["idle"]) == (2, D("0.271"), D("0.1355"), 0.5)
    assert [t["run"] for t in days["trend"]] == ["r1", "r2"]
    assert (days["half_usd"], days["half_slower"]) == (D("0.211"), 1.5)  # 3 x 0.05 + 3 x 0.01 + 0.031
    assert (totals["runs"], totals["usd"], totals["next_usd"], totals["idle"]) == (0, D(0), None, None)
    assert spent_text([days, totals]).splitlines()[1:] == [
        "tables.days                     2   0.271000   0.135500   0.135500               50%   0.211000   0.000000",
        "tables.totals                   0   0.000000                                           0.000000   0.000000",
        "all                             2   0.271000                                           0.211000   0.000000",
    ]


def test_what_lies_there_costs_by_the_month_and_what_was_refused_does_too(kept):
    pipeline, target = kept
    warehouse = Warehouse(target.warehouse, "rides")
    for part, rows in (("", 90_000), ("quarantine", 40_000)):
        write_deltalake(warehouse.path("tables.days", part), pa.table({"x": np.random.default_rng(1).random(rows)}))
    lies = sum(f.stat().st_size for part in ("", "quarantine") for f in _files(warehouse.path("tables.days", part)))

    days, _ = spent(pipeline, target)

    assert days["stored_bytes"] == lies > 1_000_000
    assert days["usd_month"] == storage(lies, PRICES) > 0


def _files(table: str) -> list[Path]:
    return list(Path(table).glob("*.parquet"))


def test_a_scores_stage_has_its_price_of_a_thousand(tmp_path):
    conf = Path(__file__).parents[1] / "conf" / "flights.yml"
    warehouse, began = Warehouse(str(tmp_path), "flights"), datetime(2026, 3, 1, tzinfo=UTC)
    usage = {"usage": vars(USED)}
    made = Record(
        "flights", "scores.late_arrival_daily", 0, 0, "r1", "d", "ok", began, 1.0, counts={"scored": 500}, detail=usage
    )
    warehouse.write(made)

    found = {s["stage"]: s for s in spent(load(conf), Target(warehouse=str(tmp_path), prices=PRICES))}

    assert found["scores.late_arrival_daily"]["usd_a_thousand"] == D("0.271")  # 0.1355 for 500


def test_an_hour_costs_what_the_executors_that_are_there_hold():
    there, gone = Executor(4, 0, None, 9, 9, 9), Executor(4, 0, 5, 9, 9, 9)

    hour = Reading(at_ms=10, memory_mib=2048, executors=(there, there, gone)).for_an_hour()

    # two of three are there: 8 cores x 0.05 + 4 GiB x 0.01
    assert cost(hour, PRICES) == D("0.44")


def test_a_run_over_its_budget_does_not_begin(kept):
    _, target = kept
    history = History.of(Warehouse(target.warehouse, "rides"))
    verdicts = [Verdict(Stage("tables", "days"), True, "new"), Verdict(Stage("tables", "totals"), False, "nothing new")]

    assert predictions(history, verdicts, PRICES) == {"tables.days": D("0.1355")}
    for budget, refused in (("0.1355", False), ("0.1354", True)):
        place = target.model_copy(update={"prices": PRICES.model_copy(update={"budget_usd": D(budget)})})
        if not refused:
            refuse_over_budget(history, verdicts, place)
            continue
        with pytest.raises(
            DataError, match=r"^the run does not begin: it would cost about 0\.1355 USD.*--select less$"
        ):
            refuse_over_budget(history, verdicts, place)
