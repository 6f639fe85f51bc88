"""All row rules in one projection: a bit mask, and from it each row's fate and reasons.

Bit 0 is a record that could not be read; bit i + 1 is expectations[i] broken.
Rules with `warn` or `fail` are not here: they judge the table that was
written (suites.py).
"""

from functools import reduce

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.errors import SpecError
from pipelines.quality.fitting import first_line, misfit, unread
from pipelines.quality.rules import bad
from pipelines.spec import Expectation

MOST_RULES = 62  # one bit of a bigint each beside bit 0; the sign bit stays clear
FLAWS, FATE, REASONS = "_flaws", "_fate", "_reasons"
WHY = "_why"  # the reason of a record that was refused as a whole, where it is another than MALFORMED
MALFORMED = "malformed record"


def fuse(expectations: tuple[Expectation, ...]) -> tuple[Expectation, ...]:
    """Those that the pass that writes decides: drop and quarantine."""
    return tuple(e for e in expectations if e.fused)


def flag(df: DataFrame, rules: tuple[Expectation, ...], malformed: Column) -> DataFrame:
    """Append `_flaws`, a bigint that is 0 for a clean row.

    Rows in   : any number; none is dropped or reordered.
    malformed : true where the record could not be read; its other flaws then do not count.
    Cost      : one projection on the caller's scan; no shuffle, no action.
    Errors    : SpecError for more than 62 rules, or one that does not fit the columns it names.
    """
    if len(rules) > MOST_RULES:
        raise SpecError(f"{len(rules)} drop and quarantine rules on one table; the most is {MOST_RULES}")
    for rule in rules:
        _refuse(misfit(rule, df.schema) or unread(rule, df.sparkSession))
    bits = [F.when(bad(rule), F.lit(1 << (i + 1)).cast("bigint")).otherwise(F.lit(0)) for i, rule in enumerate(rules)]
    mask = reduce(lambda a, b: a.bitwiseOR(b), bits, F.lit(0).cast("bigint"))
    try:
        return df.select("*", F.when(malformed, F.lit(1).cast("bigint")).otherwise(mask).alias(FLAWS))
    except AnalysisException:
        for rule in rules:
            _refuse(_unanalysed(df, rule))
        raise


def _refuse(flaw: str) -> None:
    if flaw:
        raise SpecError(flaw)


def _unanalysed(df: DataFrame, rule: Expectation) -> str:
    try:
        df.select(bad(rule))
    except AnalysisException as error:
        return f"{rule.label}: cannot be asked of this table: {first_line(error)}"
    return ""


def fate(rules: tuple[Expectation, ...]) -> Column:
    """'clean', 'drop' (only rules that drop are broken) or 'quarantine', from `_flaws`."""
    kept = 1 + sum(1 << (i + 1) for i, rule in enumerate(rules) if rule.on_fail == "quarantine")
    flaws = F.col(FLAWS)
    return (
        F.when(flaws == 0, "clean")
        .when(flaws.bitwiseAND(F.lit(kept).cast("bigint")) == 0, "drop")
        .otherwise("quarantine")
    ).alias(FATE)


def reasons(rules: tuple[Expectation, ...], whole: Column | None = None) -> Column:
    """`_reasons`: the labels of the broken rules, each once, in the conf's order. For refused rows only: it costs.

    whole: what bit 0 means, where it is not only MALFORMED.
    """
    labels = [F.lit(MALFORMED) if whole is None else whole, *(F.lit(rule.label) for rule in rules)]
    named = [F.when(F.col(FLAWS).bitwiseAND(F.lit(1 << i).cast("bigint")) != 0, s) for i, s in enumerate(labels)]
    return F.array_distinct(F.array_compact(F.array(*named))).alias(REASONS)
