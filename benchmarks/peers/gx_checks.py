"""Ten checks of lineitem by Great Expectations, as its guide to in-memory Spark data has it. Nothing of ours."""

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from pyspark.sql import DataFrame

MODES = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]


def expectations() -> list[gxe.Expectation]:
    """The suite."""
    return [
        gxe.ExpectColumnValuesToNotBeNull(column="l_orderkey"),
        gxe.ExpectColumnValuesToBeBetween(column="l_quantity", min_value=1, max_value=50),
        gxe.ExpectColumnValuesToBeBetween(column="l_extendedprice", min_value=1, max_value=200000),
        gxe.ExpectColumnValuesToBeBetween(column="l_discount", min_value=0, max_value=0.1),
        gxe.ExpectColumnValuesToBeBetween(column="l_tax", min_value=0, max_value=0.08),
        gxe.ExpectColumnValuesToBeInSet(column="l_returnflag", value_set=["A", "N", "R"]),
        gxe.ExpectColumnValuesToBeInSet(column="l_linestatus", value_set=["F", "O"]),
        gxe.ExpectColumnValuesToBeInSet(column="l_shipmode", value_set=MODES),
        gxe.ExpectColumnValuesToMatchRegex(column="l_shipinstruct", regex="^[A-Z ]+$"),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="l_receiptdate", column_B="l_shipdate"),
    ]


def check(rows: DataFrame, persist: bool) -> list[int]:
    """Unexpected rows of each expectation; persist=True is the default of add_spark."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = gx.data_context.types.base.ProgressBarsConfig(globally=False)
    source = context.data_sources.add_spark(name="spark", persist=persist)
    batches = source.add_dataframe_asset(name="lineitem").add_batch_definition_whole_dataframe("whole")
    asked = expectations()
    suite = context.suites.add(gx.ExpectationSuite(name="lineitem", expectations=asked))
    definition = gx.ValidationDefinition(name="lineitem", data=batches, suite=suite)
    result = context.validation_definitions.add(definition).run(batch_parameters={"dataframe": rows})
    found = {_key(r.expectation_config): r.result["unexpected_count"] for r in result.results}
    return [found[_key(e.configuration)] for e in asked]


def _key(asked: ExpectationConfiguration) -> tuple[str, str]:
    return asked.type, str(asked.kwargs.get("column") or asked.kwargs.get("column_A"))
