"""Tests of a conf: rows that arrive, rows that are there after it. A file of conf/tests has those of one pipeline."""

from pydantic import Field, JsonValue, model_validator

from pipelines.spec.base import Name, Spec

Row = dict[str, JsonValue]
Rows = dict[Name, tuple[Row, ...]]


class Case(Spec):
    """One test: what arrives, and the rows that tables and feature tables have after it."""

    test: str = Field(min_length=1, max_length=200, description="the sentence that it proves")
    given: Rows = Field(
        default={},
        description="rows by source; a column left out is null, a source left out is empty",
    )
    later: tuple[Rows, ...] = Field(
        default=(), description="what arrives after all that was read: likewise, one refresh after another"
    )
    expect: Rows = Field(
        default={},
        description="rows by table or feature table: these and no others, in any order, compared in the columns named",
    )
    quarantine: Rows = Field(
        default={}, description="refused rows by table, each with its `reasons`; a table left out has refused none"
    )
    tolerance: float = Field(
        default=1e-9,
        ge=0,
        lt=1,
        description="floats are equal within this share of the greater, or this much",
    )

    @model_validator(mode="after")
    def _expects(self) -> "Case":
        if not self.expect and not self.quarantine:
            raise ValueError("expects nothing; name a table under `expect` or `quarantine`")
        return self


class Cases(Spec):
    """A file of tests, `conf/tests/<any name>.yml`."""

    pipeline: Name = Field(description="the `pipeline` of the conf that it tests")
    tests: tuple[Case, ...] = Field(description="each on its own, in an empty warehouse")

    @model_validator(mode="after")
    def _tests(self) -> "Cases":
        if not self.tests:
            raise ValueError("has no test")
        return self
