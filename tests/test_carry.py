"""Where a row came from, threaded through a streaming table's SELECT; and what keeps no rows one by one."""

import pytest

from pipelines.columns import carry, lineage
from pipelines.errors import SpecError


@pytest.mark.parametrize(
    ("select", "carried"),
    [
        ("SELECT a FROM raw", "SELECT a , raw._row FROM raw"),
        ("SELECT a FROM raw r", "SELECT a , r._row FROM raw r"),
        ("SELECT a AS b\nFROM raw AS r\n", "SELECT a AS b\n, r._row FROM raw AS r\n"),
        ("SELECT * FROM raw", "SELECT * FROM raw"),
        ("SELECT r.*, a + 1 AS b FROM raw r", "SELECT r.*, a + 1 AS b FROM raw r"),
        (
            "SELECT r.a, p.* FROM raw r LEFT JOIN planes p ON p.id = r.id",
            "SELECT r.a, p.* , r._row FROM raw r LEFT JOIN planes p ON p.id = r.id",
        ),
        (
            "WITH x AS (SELECT a FROM raw), y AS (SELECT a + 1 AS b FROM x) SELECT b FROM y",
            "WITH x AS (SELECT a , raw._row FROM raw), y AS (SELECT a + 1 AS b , x._row FROM x) "
            "SELECT b , y._row FROM y",
        ),
        (
            "WITH x AS (SELECT * FROM raw), n AS (SELECT id, max(v) AS v FROM other GROUP BY id) "
            "SELECT x.a, n.v FROM x LEFT JOIN n ON n.id = x.id",
            "WITH x AS (SELECT * FROM raw), n AS (SELECT id, max(v) AS v FROM other GROUP BY id) "
            "SELECT x.a, n.v , x._row FROM x LEFT JOIN n ON n.id = x.id",
        ),
        (
            "SELECT extract(YEAR FROM at) AS y, ' FROM raw ' AS s FROM raw -- FROM raw",
            "SELECT extract(YEAR FROM at) AS y, ' FROM raw ' AS s , raw._row FROM raw -- FROM raw",
        ),
        ("SELECT a FROM RAW", "SELECT a , RAW._row FROM RAW"),
    ],
)
def test_the_column_is_one_more_output_and_nothing_else_changes(select, carried):
    assert carry(select, "raw", "_row") == carried


def test_the_column_comes_from_the_source_itself():
    select = carry("WITH x AS (SELECT a FROM raw) SELECT a FROM x", "raw", "_row")

    assert lineage(select, {"raw": ["a", "_row"]})["_row"] == {("raw", "_row")}


@pytest.mark.parametrize(
    ("select", "sentence"),
    [
        (
            "SELECT a FROM raw WHERE a > 1",
            "in a streaming table WHERE loses rows unseen; write the condition as an expectation with on_fail: drop",
        ),
        (
            "SELECT a FROM raw GROUP BY a",
            "in a streaming table GROUP BY belongs into a materialized view: a table without `from`",
        ),
        ("SELECT DISTINCT a FROM raw", "in a streaming table DISTINCT loses rows unseen; keys keep one row of each"),
        ("SELECT a FROM raw ORDER BY a LIMIT 3", "in a streaming table LIMIT loses rows unseen"),
        ("SELECT a FROM raw OFFSET 3", "in a streaming table OFFSET loses rows unseen"),
        (
            "SELECT a FROM raw QUALIFY row_number() OVER (ORDER BY a) = 1",
            "in a streaming table QUALIFY loses rows unseen; keys and sequence_by keep the newest row",
        ),
        (
            "SELECT v FROM raw LATERAL VIEW explode(xs) e AS v",
            "in a streaming table LATERAL VIEW multiplies rows; explode them in a materialized view",
        ),
        (
            "SELECT explode(xs) AS v FROM raw",
            "in a streaming table EXPLODE(xs) AS v reads other rows; compute it in a view or as a feature",
        ),
        (
            "SELECT max(a) AS a FROM raw",
            "in a streaming table MAX(a) AS a reads other rows; compute it in a view or as a feature",
        ),
        (
            "SELECT lag(a) OVER (ORDER BY b) AS a FROM raw",
            "in a streaming table LAG(a) OVER (ORDER BY b) AS a reads other rows; compute it in a view or as a feature",
        ),
        (
            "SELECT a FROM raw JOIN u USING (id)",
            "in a streaming table INNER JOIN loses or multiplies rows; use LEFT JOIN",
        ),
        ("SELECT a FROM raw CROSS JOIN u", "in a streaming table CROSS JOIN loses or multiplies rows; use LEFT JOIN"),
        (
            "SELECT a FROM raw FULL JOIN u USING (id)",
            "in a streaming table FULL JOIN loses or multiplies rows; use LEFT JOIN",
        ),
        (
            "WITH x AS (SELECT a FROM raw WHERE a > 1) SELECT a FROM x",
            "in a streaming table WHERE loses rows unseen; write the condition as an expectation with on_fail: drop",
        ),
        (
            "SELECT u.a FROM u LEFT JOIN raw ON raw.id = u.id",
            "a streaming table reads its source once, first in FROM; what is looked up stands in LEFT JOINs",
        ),
        (
            "SELECT r.a FROM raw r LEFT JOIN raw s ON s.id = r.id",
            "a streaming table reads its source once, first in FROM; what is looked up stands in LEFT JOINs",
        ),
        (
            "SELECT a FROM (SELECT a FROM raw) q",
            "a streaming table reads raw in its own FROM or through WITH, not in a subquery",
        ),
        ("SELECT a FROM u", "a streaming table reads raw in its own FROM or through WITH, not in a subquery"),
        ("SELECT a FROM raw UNION ALL SELECT a FROM raw", "UNION does not keep the rows of raw one by one"),
    ],
)
def test_what_does_not_keep_rows_one_by_one_is_refused(select, sentence):
    with pytest.raises(SpecError) as caught:
        carry(select, "raw", "_row")

    assert str(caught.value) == sentence
