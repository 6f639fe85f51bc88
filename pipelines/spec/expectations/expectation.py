"""The conf's face of an expectation: exactly one name, and what a breach does."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from pipelines.spec.base import Spec
from pipelines.spec.expectations import aggregate, row, table
from pipelines.spec.expectations.base import SHARED, Promise, Tier

OnFail = Literal["warn", "drop", "quarantine", "fail"]
LONGEST = 60  # letters of an argument in a label

LEFT_OUT = {
    "expect_column_values_to_be_decreasing": "a Delta table has no order of rows; Great Expectations on Spark numbers "
    "them arbitrarily. Compare with the row before in a select (`lag`) and expect that column.",
    "expect_column_values_to_be_increasing": "as expect_column_values_to_be_decreasing, a Delta table has no order",
    "expect_column_values_to_be_dateutil_parseable": "Great Expectations has it for pandas only; what dateutil guesses "
    "(`10` is a day of this month) is no promise. Use expect_column_values_to_match_strftime_format.",
    "expect_multicolumn_values_to_be_unique": "deprecated, without an implementation; "
    "expect_select_column_values_to_be_unique_within_record or expect_compound_columns_to_be_unique is meant",
    "expect_table_row_count_to_equal_other_table": "two tables; join their counts in a materialized view",
    "expect_query_results_to_match_comparison": "another data source, which a conf does not reach",
}


class Expectation(Spec):
    """One promise: exactly one Great Expectations name, and what a breach does."""

    on_fail: OnFail = Field(default="warn", description="what a breach does")
    expect_column_values_to_not_be_null: row.NotBeNull | None = None
    expect_column_values_to_be_between: row.BeBetween | None = None
    expect_column_values_to_be_in_set: row.BeInSet | None = None
    expect_column_values_to_match_regex: row.MatchRegex | None = None
    expect_column_pair_values_a_to_be_greater_than_b: row.PairAGreater | None = None
    expect_column_values_to_be_unique: aggregate.BeUnique | None = None
    expect_table_row_count_to_be_between: table.RowCountBetween | None = None

    expect_column_values_to_be_null: row.BeNull | None = None
    expect_column_values_to_not_be_in_set: row.NotBeInSet | None = None
    expect_column_values_to_not_match_regex: row.NotMatchRegex | None = None
    expect_column_values_to_match_regex_list: row.MatchRegexList | None = None
    expect_column_values_to_not_match_regex_list: row.NotMatchRegexList | None = None
    expect_column_values_to_match_like_pattern: row.MatchLike | None = None
    expect_column_values_to_not_match_like_pattern: row.NotMatchLike | None = None
    expect_column_values_to_match_like_pattern_list: row.MatchLikeList | None = None
    expect_column_values_to_not_match_like_pattern_list: row.NotMatchLikeList | None = None
    expect_column_value_lengths_to_be_between: row.LengthsBetween | None = None
    expect_column_value_lengths_to_equal: row.LengthsEqual | None = None
    expect_column_values_to_be_json_parseable: row.BeJson | None = None
    expect_column_pair_values_to_be_equal: row.PairEqual | None = None
    expect_column_pair_values_to_be_in_set: row.PairInSet | None = None
    expect_multicolumn_sum_to_equal: row.SumEqual | None = None
    expect_multicolumn_values_to_be_equal: row.AllEqual | None = None
    expect_select_column_values_to_be_unique_within_record: row.AllDifferent | None = None

    expect_column_min_to_be_between: aggregate.MinBetween | None = None
    expect_column_max_to_be_between: aggregate.MaxBetween | None = None
    expect_column_mean_to_be_between: aggregate.MeanBetween | None = None
    expect_column_median_to_be_between: aggregate.MedianBetween | None = None
    expect_column_sum_to_be_between: aggregate.SumBetween | None = None
    expect_column_stdev_to_be_between: aggregate.StdevBetween | None = None
    expect_column_proportion_of_non_null_values_to_be_between: aggregate.NonNullShareBetween | None = None
    expect_column_quantile_values_to_be_between: aggregate.QuantilesBetween | None = None
    expect_column_value_z_scores_to_be_less_than: aggregate.ZScoresLess | None = None
    expect_column_values_to_not_be_outliers: aggregate.NotOutliers | None = None
    expect_compound_columns_to_be_unique: aggregate.CompoundUnique | None = None
    expect_column_unique_value_count_to_be_between: aggregate.DistinctBetween | None = None
    expect_column_proportion_of_unique_values_to_be_between: aggregate.DistinctShareBetween | None = None
    expect_column_distinct_values_to_be_in_set: aggregate.DistinctInSet | None = None
    expect_column_distinct_values_to_contain_set: aggregate.DistinctContainSet | None = None
    expect_column_distinct_values_to_equal_set: aggregate.DistinctEqualSet | None = None
    expect_column_most_common_value_to_be_in_set: aggregate.MostCommonInSet | None = None

    expect_table_row_count_to_equal: table.RowCountEqual | None = None
    expect_table_column_count_to_be_between: table.ColumnCountBetween | None = None
    expect_table_column_count_to_equal: table.ColumnCountEqual | None = None
    expect_table_columns_to_match_ordered_list: table.ColumnsOrdered | None = None
    expect_table_columns_to_match_set: table.ColumnsSet | None = None
    expect_column_to_exist: table.ColumnExists | None = None
    expect_column_type_to_be: table.ColumnType | None = None
    expect_column_values_to_be_of_type: table.ColumnType | None = None
    expect_column_values_to_be_in_type_list: table.ColumnTypeAmong | None = None
    unexpected_rows_expectation: table.UnexpectedRows | None = None

    expect_column_values_to_match_strftime_format: aggregate.MatchStrftime | None = None
    expect_column_values_to_match_json_schema: aggregate.MatchJsonSchema | None = None
    expect_column_kl_divergence_to_be_less_than: aggregate.KlDivergenceLess | None = None

    @model_validator(mode="after")
    def _one_decidable_promise(self) -> "Expectation":
        named = [n for n in self.names() if getattr(self, n)]
        if len(named) != 1:
            raise ValueError(f"an expectation has exactly one name, got {', '.join(named) or 'none'}")
        if self.on_fail in ("drop", "quarantine") and not self.by_row:
            raise ValueError(f"{named[0]} cannot be decided row by row; on_fail can be warn or fail")
        return self

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Every Great Expectations name that a conf may use."""
        return tuple(n for n in cls.model_fields if n != "on_fail")

    @classmethod
    def kind(cls, name: str) -> type[Promise]:
        """The class of what is promised under a name."""
        kinds = get_args(cls.model_fields[name].annotation)
        return next(k for k in kinds if k is not type(None))  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """The Great Expectations name."""
        return next(n for n in self.names() if getattr(self, n))

    @property
    def promise(self) -> Promise:
        """What is promised under that name."""
        found: Promise = getattr(self, self.name)
        return found

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments as Great Expectations takes them, None left out."""
        return {k: v for k, v in self.promise.model_dump().items() if v is not None}

    @property
    def said(self) -> dict[str, object]:
        """The arguments without those that every promise shares: what is promised, of any row."""
        return {k: v for k, v in self.arguments.items() if k not in SHARED}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads, in order, those of row_condition apart."""
        return tuple(column for _, column in self.promise.columns)

    @property
    def tier(self) -> Tier:
        """Who decides (base.py). A row count of some rows only is in no log."""
        of_some = self.promise.tier == "log" and "row_condition" in self.arguments
        return "aggregate" if of_some else self.promise.tier

    @property
    def by_row(self) -> bool:
        """True where each row is decided alone."""
        return self.promise.tier == "row" and "mostly" not in self.arguments

    @property
    def fused(self) -> bool:
        """True where the pass that writes decides it (drop, quarantine)."""
        return self.on_fail in ("drop", "quarantine")

    @property
    def label(self) -> str:
        """A short reason for people: 'age: be between (min_value 0.0, max_value 120.0)'."""
        rest = {k: v for k, v in self.said.items() if k not in ("column", "column_A", "column_list")}
        of = self.columns[0] if len(self.columns) in (1, 2) and "column_list" not in self.said else ""
        of = of or ", ".join(self.columns) or ("columns" if self.tier == "schema" else "rows")
        said = self.name.removeprefix("expect_").removeprefix("column_values_to_").removeprefix("column_pair_")
        tail = ", ".join(f"{k} {_short(v)}" for k, v in rest.items())
        where = f" where {_short(self.arguments['row_condition'])}" if "row_condition" in self.arguments else ""
        return f"{of}: {said.replace('_', ' ')}" + (f" ({tail})" if tail else "") + where


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
