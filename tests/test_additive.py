import pytest

from pipelines.columns import Additive, additive

ADDS = {
    "SELECT a, count(*) AS n FROM t GROUP BY a": (["a"], {"n": "sum"}),
    "SELECT a AS b, sum(x) AS s, max(y) AS m FROM t WHERE x > 1 GROUP BY 1": (["b"], {"s": "sum", "m": "max"}),
    "SELECT date_trunc('day', at) AS day, count_if(x > 1) AS n FROM t GROUP BY date_trunc('day', at)": (
        ["day"],
        {"n": "sum"},
    ),
    "SELECT year(at) AS y, bool_and(ok) AS all_ok, bool_or(ok) AS one_ok FROM t GROUP BY y": (
        ["y"],
        {"all_ok": "bool_and", "one_ok": "bool_or"},
    ),
    "SELECT u.a, min(u.x) AS least FROM t AS u GROUP BY u.a": (["a"], {"least": "min"}),
    "SELECT count(*) AS n FROM t": ([], {"n": "sum"}),
    "SELECT a, b FROM t GROUP BY a, b HAVING true AND count(*) > 0": "HAVING is made of all rows",
    "SELECT a, avg(x) AS m FROM t GROUP BY a": "'AVG(x)' cannot be added to",
    "SELECT a, count(DISTINCT x) AS n FROM t GROUP BY a": "'COUNT(DISTINCT x)' cannot be added to",
    "SELECT a, sum(x) / count(*) AS m FROM t GROUP BY a": "'SUM(x) / COUNT(*)' cannot be added to",
    "SELECT a, sum(x) OVER (PARTITION BY a) AS s FROM t": "'a' cannot be added to",
    "SELECT a, sum(x) AS s FROM t GROUP BY a, b": "not every group is among its outputs",
    "SELECT a, max(x) AS b FROM t GROUP BY a, b": "not every group is among its outputs",
    "SELECT a, every(x) AS b FROM t GROUP BY a, b": "'EVERY(x)' cannot be added to",
    "SELECT a, count(*) AS n FROM t GROUP BY a WITH CUBE": "its groups overlap",
    "SELECT a, count(*) AS n FROM t JOIN u USING (k) GROUP BY a": "JOIN is made of all rows",
    "SELECT a, count(*) AS n FROM t WHERE x IN (SELECT x FROM t) GROUP BY a": "a subquery is made of all rows",
    "WITH u AS (SELECT * FROM t) SELECT a, count(*) AS n FROM u GROUP BY a": "WITH is made of all rows",
    "SELECT DISTINCT a, count(*) AS n FROM t GROUP BY a": "DISTINCT is made of all rows",
    "SELECT a, count(*) AS n FROM t WHERE at > current_timestamp() GROUP BY a": (
        "its rows depend on the time at which it is made"
    ),
    "SELECT a, x FROM t": "",
    "SELECT a FROM t UNION ALL SELECT a FROM u": "",
}


@pytest.mark.parametrize("select", ADDS)
def test_only_groups_of_sums_and_bounds_over_one_relation_are_added_to(select):
    expected = ADDS[select]

    found = additive(select)

    assert found == (expected if isinstance(expected, str) else Additive("t", tuple(expected[0]), expected[1]))
