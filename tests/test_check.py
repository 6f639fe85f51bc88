"""What is refused before anything runs: one sentence a flaw, at its line."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.check import check
from pipelines.errors import SpecError
from pipelines.spec import load_lines

GOLDEN = Path(__file__).parent / "golden" / "delays.yml"

NULLS = "expect_column_values_to_not_be_null: {column: origin}"


DERIVED = "columns: [carrier, distance]"
UNDERIVABLE = {
    "weather_tmp / 2": "no column 'weather_tmp'; did you mean 'weather_temp'?",
    "arr_delay * 2": "no column 'arr_delay'; there is carrier, distance, weather_temp, origin_dep_delay_avg_1h, "
    "origin_dep_delay_count_1h, origin_dep_delay_avg_6h, origin_dep_delay_count_6h, scheduled_departure",
    "rand() + distance": "rand() is not among the functions a conf may call; did you mean rpad()?",
    "sum(distance)": "'sum(distance)' reads other rows; an expression reads the columns of its own",
    "explode(array(distance))": "explode() makes rows of one; an expression makes one value of each",
    "datediff(current_date(), scheduled_departure)": "'datediff(current_date(), scheduled_departure)' reads the clock; "
    "what a row may know ends at scheduled_departure",
    "1 + 1": "'1 + 1' reads no other feature, and so is the same in every row",
}


@pytest.fixture
def flaws(tmp_path):
    """Texts to replace in the golden conf -> all that check says, without the folder."""

    def said(*changes: tuple[str, str]) -> list[str]:
        text, path = GOLDEN.read_text(), tmp_path / "delays.yml"
        for old, new in changes:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        path.write_text(text)
        try:
            check(*load_lines(path))
        except SpecError as error:
            return str(error).replace(str(path), "delays.yml").splitlines()
        return []

    return said


def test_a_conf_that_holds_together_is_passed_in_silence(flaws):
    assert flaws() == []


def test_a_spine_column_known_after_as_of_time_is_refused(flaws):
    assert flaws(("columns: [carrier, distance]", "columns: [carrier, dep_delay]")) == [
        "delays.yml:45: features.departures.columns: dep_delay is known at actual_departure, "
        "after as_of_time scheduled_departure"
    ]


def test_the_moment_itself_is_known_no_earlier(flaws):
    assert flaws(("columns: [carrier, distance]", "columns: [carrier, actual_arrival]")) == [
        "delays.yml:45: features.departures.columns: actual_arrival is known at actual_arrival, "
        "after as_of_time scheduled_departure"
    ]


def test_a_moment_that_nothing_orders_before_as_of_time_is_refused(flaws):
    assert flaws(("as_of_time: scheduled_departure", "as_of_time: actual_departure")) == [
        f"delays.yml:45: features.departures.columns: {column} is known at scheduled_departure, "
        "not said to be before as_of_time actual_departure"
        for column in ("carrier", "distance")
    ]


def test_a_column_made_of_a_late_one_has_to_say_when_it_is_known(flaws):
    select = ("dep_delay, arr_delay\n", "dep_delay, arr_delay, dep_delay > 15 AS was_late\n")

    assert flaws(select) == [
        "delays.yml:22: tables.flights: was_late reads flights_raw.dep_delay, which is known at actual_departure; "
        "state it: known_at: {was_late: actual_departure}"
    ]
    assert flaws(select, ("{dep_delay: actual", "{was_late: actual_departure, dep_delay: actual")) == []


def test_lateness_passes_through_ctes_and_views(flaws):
    view = "SELECT origin, avg(dep_delay) AS mean_delay, min(scheduled_departure) AS since FROM flights GROUP BY origin"
    cte = "WITH c AS (SELECT origin, avg(arr_delay) AS d FROM flights GROUP BY origin) SELECT origin, d FROM c"

    assert flaws(
        (
            "    select: SELECT origin, count(*) AS departures FROM flights GROUP BY origin",
            f"""\
    event_time: since
    select: {view}
  timeless:
    select: {cte}
  timed:
    event_time: since
    select: SELECT b.since, t.d FROM timeless t JOIN busy b USING (origin)""",
        )
    ) == [
        "delays.yml:39: tables.busy: mean_delay reads flights.dep_delay, which is known at actual_departure; "
        "state it: known_at: {mean_delay: actual_departure}",
        "delays.yml:44: tables.timed: d reads timeless.d, which is known at actual_arrival; "
        "state it: known_at: {d: actual_arrival}",
    ]


def test_a_view_whose_own_time_is_the_late_moment_needs_no_statement(flaws):
    view = "SELECT flight_id, actual_arrival AS landed, arr_delay FROM flights WHERE arr_delay IS NOT NULL"

    assert (
        flaws(
            (
                "    select: SELECT origin, count(*) AS departures FROM flights GROUP BY origin",
                f"""\
    event_time: landed
    select: {view}""",
            )
        )
        == []
    )


def test_rows_kept_by_what_is_known_later_are_refused(flaws):
    view = "SELECT flight_id, scheduled_departure FROM flights WHERE arr_delay IS NOT NULL"

    assert flaws(
        (
            "    select: SELECT origin, count(*) AS departures FROM flights GROUP BY origin",
            f"""\
    event_time: scheduled_departure
    select: {view}""",
        )
    ) == [
        "delays.yml:39: tables.busy: which rows it has is decided by flights.arr_delay, "
        "which is known at actual_arrival, after event_time scheduled_departure; keep the rows"
    ]


def test_a_label_column_among_the_features_is_refused(flaws):
    assert flaws(("label: arr_delay >= 15", "label: distance > 1000")) == [
        "delays.yml:54: models.late_arrival.label: reads distance, which departures also gives as a feature"
    ]


@pytest.mark.parametrize(
    ("old", "new", "place", "sentence"),
    [
        (
            "from: flights_raw",
            "from: flight_raw",
            "18: tables.flights.from",
            "no source 'flight_raw'; did you mean 'flights_raw'?",
        ),
        (
            "origin STRING, temp",
            "origin STRNG, temp",
            "14: sources.weather_raw.schema",
            "column 'origin': no type 'STRNG'; did you mean 'STRING'?",
        ),
        (
            "FROM weather_raw",
            "FROM wether_raw",
            "36: tables.weather.select",
            "reads 'wether_raw', which is no source or table; did you mean 'weather_raw'?",
        ),
        (
            "observed, temp FROM",
            "observed, tmp FROM",
            "36: tables.weather.select",
            "no column 'tmp'; did you mean 'temp'?",
        ),
        (
            "temp FROM weather_raw",
            "temp FROM weather_raw WHERE temp > 1",
            "36: tables.weather.select",
            "in a streaming table WHERE loses rows unseen; write the condition as an expectation with on_fail: drop",
        ),
        (
            "count(*) AS departures FROM flights",
            "reflect('a', 'b') AS departures FROM flights",
            "38: tables.busy.select",
            "reflect() is not among the functions a conf may call",
        ),
        (
            "departures FROM flights",
            "departures FROM flights_raw",
            "38: tables.busy.select",
            "reads the source flights_raw; a materialized view reads tables (or add from: flights_raw)",
        ),
        (
            "count(*) AS departures FROM flights",
            "count(*) AS departures FROM busy",
            "38: tables.busy",
            "tables read each other in a circle: busy -> busy",
        ),
        (
            "keys: [flight_id]",
            "keys: [flight_no]",
            "19: tables.flights.keys.0",
            "no column 'flight_no'; did you mean 'flight_id'?",
        ),
        (
            "event_time: observed",
            "event_time: observd",
            "35: tables.weather.event_time",
            "no column 'observd'; did you mean 'observed'?",
        ),
        (
            "arr_delay: actual_arrival}",
            "arr_delay: actual_arival}",
            "21: tables.flights.known_at.arr_delay",
            "no column 'actual_arival'; did you mean 'actual_arrival'?",
        ),
        (
            "{column: origin}",
            "{column: orign}",
            "28: tables.flights.expect.0.expect_column_values_to_not_be_null.column",
            "no column 'orign'; did you mean 'origin'?",
        ),
        (
            NULLS,
            "expect_column_pair_values_to_be_equal: {column_A: origin, column_B: orign}",
            "28: tables.flights.expect.0.expect_column_pair_values_to_be_equal.column_B",
            "no column 'orign'; did you mean 'origin'?",
        ),
        (
            NULLS,
            "expect_multicolumn_values_to_be_equal: {column_list: [origin, dset]}",
            "28: tables.flights.expect.0.expect_multicolumn_values_to_be_equal.column_list",
            "no column 'dset'; did you mean 'dest'?",
        ),
        (
            NULLS,
            "expect_column_values_to_not_be_null: {column: origin, row_condition: dst = 'JFK'}",
            "28: tables.flights.expect.0.expect_column_values_to_not_be_null.row_condition",
            "no column 'dst'; did you mean 'dest'?",
        ),
        (
            NULLS,
            "expect_column_values_to_not_be_null: {column: origin, row_condition: scheduled_departure < now()}",
            "28: tables.flights.expect.0.expect_column_values_to_not_be_null.row_condition",
            "reads the clock; a version is judged by what it holds, whenever that is",
        ),
        (
            NULLS,
            "expect_column_values_to_not_be_null: {column: origin, row_condition: 1 = 1}",
            "28: tables.flights.expect.0.expect_column_values_to_not_be_null.row_condition",
            "'1 = 1' reads no column of the table",
        ),
        (
            "expect_table_row_count_to_be_between: {min_value: 1}",
            "unexpected_rows_expectation: {unexpected_rows_query: SELECT origin FROM flights}",
            "30: tables.flights.expect.1.unexpected_rows_expectation.unexpected_rows_query",
            "does not read {batch}, which stands for the table",
        ),
        (
            "expect_table_row_count_to_be_between: {min_value: 1}",
            "unexpected_rows_expectation: {unexpected_rows_query: \"SELECT reflect('a', 'b') AS x FROM {batch}\"}",
            "30: tables.flights.expect.1.unexpected_rows_expectation.unexpected_rows_query",
            "reflect() is not among the functions a conf may call",
        ),
        (
            "expect_table_row_count_to_be_between: {min_value: 1}",
            'unexpected_rows_expectation: {unexpected_rows_query: "SELECT w.temp FROM {batch} JOIN weather AS w"}',
            "30: tables.flights.expect.1.unexpected_rows_expectation.unexpected_rows_query",
            "reads 'weather', which is no source or table; there is batch",
        ),
        (
            "expect_table_row_count_to_be_between: {min_value: 1}",
            "expect_column_max_to_be_between: {column: distance, min_value: 3, max_value: 3, strict_max: true}",
            "30: tables.flights.expect.1.expect_column_max_to_be_between",
            "nothing lies between 3 and 3",
        ),
        (
            "{min_value: 1}",
            "{min_value: 1, max_value: 0}",
            "30: tables.flights.expect.1.expect_table_row_count_to_be_between",
            "nothing lies between 1 and 0",
        ),
        (
            "spine: flights",
            "spine: flight",
            "42: features.departures.spine",
            "no table 'flight'; did you mean 'flights'?",
        ),
        (
            "as_of_time: scheduled",
            "as_of_time: schedule",
            "44: features.departures.as_of_time",
            "table flights has no column 'schedule_departure'; did you mean 'scheduled_departure'?",
        ),
        (
            "[carrier, distance]",
            "[carier, distance]",
            "45: features.departures.columns",
            "table flights has no column 'carier'; did you mean 'carrier'?",
        ),
        (
            "{table: weather,",
            "{table: wether,",
            "47: features.departures.as_of.0.table",
            "no table 'wether'; did you mean 'weather'?",
        ),
        (
            "{table: weather,",
            "{table: busy,",
            "47: features.departures.as_of.0.table",
            "table busy has no event_time, so nothing says when its rows are known",
        ),
        (
            "columns: [temp]",
            "columns: [tmp]",
            "47: features.departures.as_of.0.columns",
            "table weather has no column 'tmp'; did you mean 'temp'?",
        ),
        (
            "aggregates: {dep_delay",
            "aggregates: {dep_dely",
            "49: features.departures.windows.0.aggregates",
            "table flights has no column 'dep_dely'; did you mean 'dep_delay'?",
        ),
        (
            "over: [1 hour, 6 hours]",
            "over: [1 hour, 60 minutes]",
            "41: features.departures",
            "two columns are named origin_dep_delay_avg_1h",
        ),
        ("[carrier, distance]", "[carrier, flight_id]", "41: features.departures", "two columns are named flight_id"),
        (
            DERIVED,
            f"{DERIVED}\n    derive: {{carrier: weather_temp * 2}}",
            "41: features.departures",
            "two columns are named carrier",
        ),
        *(
            (DERIVED, f'{DERIVED}\n    derive: {{warm: "{said}"}}', "46: features.departures.derive.warm", sentence)
            for said, sentence in UNDERIVABLE.items()
        ),
        (
            "features: departures",
            "features: departure",
            "53: models.late_arrival.features",
            "no feature table 'departure'; did you mean 'departures'?",
        ),
        (
            "label: arr_delay >= 15",
            "label: arr_dely >= 15",
            "54: models.late_arrival.label",
            "no column 'arr_dely'; did you mean 'arr_delay'?",
        ),
        (
            "label: arr_delay >= 15",
            "label: 1 = 1",
            "54: models.late_arrival.label",
            "'1 = 1' reads no column of flights",
        ),
        ("min: 0.65", "min: 65", "60: models.late_arrival.gates.0.min", "roc_auc lies between 0 and 1, got 65"),
        (
            "min: 0.65",
            "min: 0.65, slice: carier",
            "60: models.late_arrival.gates.0.slice",
            "departures has no column 'carier'; did you mean 'carrier'?",
        ),
        (
            "slices: [carrier]",
            "slices: [carier]",
            "61: models.late_arrival.slices.0",
            "departures has no column 'carier'; did you mean 'carrier'?",
        ),
        (
            "{model: late_arrival,",
            "{model: late,",
            "64: scores.late_daily.model",
            "no model 'late'; there is late_arrival",
        ),
        (
            "of: departures",
            "of: departure",
            "64: scores.late_daily.of",
            "no feature table 'departure'; did you mean 'departures'?",
        ),
        (
            "mode: batch}",
            "mode: batch}\n  late_daily_shadow: {model: late_arrival, of: departures, mode: batch}",
            "65: scores.late_daily_shadow",
            "is the name of what a challenger answers beside another score; name it otherwise",
        ),
        (
            "  flights:\n",
            "  flights_deleted: {select: SELECT carrier FROM flights}\n  flights:\n",
            "17: tables.flights_deleted",
            "is the name of what was deleted of another table; name it otherwise",
        ),
    ],
)
def test_one_mistake_is_one_sentence_at_its_line(flaws, old, new, place, sentence):
    assert f"delays.yml:{place}: {sentence}" in flaws((old, new))


def test_feature_keys_are_the_keys_of_the_spine(flaws):
    found = flaws(("keys: [flight_id]\n    as_of", "keys: [carrier]\n    as_of"), ("[carrier, distance]", "[distance]"))

    assert found == [
        "delays.yml:43: features.departures.keys: should be the keys of flights, [flight_id], got [carrier]",
    ]


PRICES = """
pipeline: prices
sources:
  prices_raw: {kind: files, format: json, path: prices, schema: "item STRING, at TIMESTAMP, rev INT, price INT"}
tables:
  prices:
    from: prices_raw
    keys: [item]
    sequence_by: rev
    stored_as_scd_type: 2
    event_time: at
    select: SELECT item, at, rev, price FROM prices_raw
  ended:
    event_time: at
    select: SELECT item, at, valid_to IS NOT NULL AS is_old FROM prices
"""


def test_a_row_of_a_kept_history_ends_later_than_it_is_known(tmp_path):
    path = tmp_path / "prices.yml"
    path.write_text(PRICES)

    with pytest.raises(SpecError) as caught:
        check(*load_lines(path))

    said = "is_old reads prices.valid_to, which is known at valid_to; state it: known_at: {is_old: valid_to}"
    assert [line.partition(": tables.")[2] for line in str(caught.value).splitlines()] == [f"ended: {said}"]


def test_a_spine_has_one_row_a_key(flaws):
    kept = ("known_at: {dep", "sequence_by: time_hour\n    stored_as_scd_type: 2\n    known_at: {dep")
    said = "features.departures.spine: flights keeps all rows of a key, and a key has one feature row"

    found = flaws(kept, ("dep_delay, arr_delay\n      FROM", "dep_delay, arr_delay, time_hour\n      FROM"))

    assert [line.partition(": ")[2] for line in found] == [said]


def test_a_circle_of_tables_is_named(flaws):
    found = flaws(("    select: SELECT origin, count(*) AS departures FROM flights GROUP BY origin", """\
    select: SELECT origin FROM idle
  idle:
    select: SELECT origin FROM busy"""))  # fmt: skip

    assert found == ["delays.yml:38: tables.busy: tables read each other in a circle: busy -> idle -> busy"]


def test_all_flaws_are_said_at_once_but_not_more_than_ten(flaws):
    wrong = ", ".join(f"no_{i}" for i in range(14))

    found = flaws(("columns: [carrier, distance]", f"columns: [{wrong}]"))

    assert len(found) == 10
    assert found[-1] == "delays.yml: and 5 more"


def test_a_broken_table_is_said_once_and_not_again_by_those_who_read_it(flaws):
    assert len(flaws(("FROM flights_raw\n", "FROM nowhere\n"))) == 1


def test_check_starts_no_engine_and_takes_little_more_than_its_libraries_do():
    """On a machine at rest that is half a second; seconds of a busy one would say nothing."""
    libraries = "import sys, pydantic, ruamel.yaml, sqlglot.dialects.spark; "
    checks = (
        "from pathlib import Path; from pipelines.check import check; from pipelines.spec import load_lines; "
        f"check(*load_lines(Path({str(GOLDEN)!r}))); print(*sorted(sys.modules))"
    )

    pairs = [(cpu_of(libraries)[0], cpu_of(libraries + checks)) for _ in range(5)]

    heavy = {"pyspark", "pandas", "numpy", "pyarrow", "delta", "deltalake", "mlflow", "great_expectations", "xgboost"}
    assert not heavy & set(pairs[0][1][1].split())
    assert min(ours / floor for floor, (ours, _) in pairs) < 4


def cpu_of(program: str) -> tuple[float, str]:
    """CPU-seconds of a Python process, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def test_by_the_clock_of_arrival_a_view_cannot_be_joined(flaws):
    clock = ("as_of_time: scheduled_departure", "as_of_time: scheduled_departure\n    clock: arrival")
    view = ("table: weather", "table: busy")
    said = (
        "features.departures.as_of.0.table: the rows of a view do not arrive; clock: arrival needs a table with `from`"
    )

    assert flaws(clock) == []
    assert said in [flaw.split(": ", 1)[1] for flaw in flaws(clock, view)]
    assert said not in [flaw.split(": ", 1)[1] for flaw in flaws(view)]
