"""SQL text: what it reads, what it makes, what a conf may not say."""

from datetime import datetime

import pytest

from pipelines.columns import ddl, filters, lineage, refuse, refuse_expression, relations, replace_now
from pipelines.errors import SpecError

T = {"t": ["id", "a", "b", "at", "xs", "s"], "u": ["id", "x", "a"]}


def said(call, *arguments) -> str:
    with pytest.raises(SpecError) as caught:
        call(*arguments)
    return str(caught.value)


def test_relations_come_once_in_order_without_ctes():
    select = "WITH c AS (SELECT id FROM u) SELECT t.id FROM t JOIN c USING (id) JOIN u ON u.id = t.id"

    assert relations(select) == ("u", "t")


def test_a_cte_that_hides_a_table_still_reads_it():
    assert relations("WITH t AS (SELECT id FROM t) SELECT id FROM t") == ("t",)


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("SELECT a, b + 1 AS c, c * 2 AS d FROM t", {"a": {"t.a"}, "c": {"t.b"}, "d": {"t.b"}}),
        ("SELECT u.* FROM t JOIN u USING (id)", {"id": {"u.id"}, "x": {"u.x"}, "a": {"u.a"}}),
        ("SELECT * EXCEPT (x) FROM u", {"id": {"u.id"}, "a": {"u.a"}}),
        ("WITH t AS (SELECT b AS z FROM t) SELECT z FROM t", {"z": {"t.b"}}),
        ("SELECT q.z FROM (SELECT a + b AS z FROM t) q", {"z": {"t.a", "t.b"}}),
        ("SELECT (SELECT max(x) FROM u WHERE u.id = t.id) AS m FROM t", {"m": {"u.x", "u.id", "t.id"}}),
        ("SELECT lag(a) OVER (PARTITION BY id ORDER BY at) AS p FROM t", {"p": {"t.a", "t.id", "t.at"}}),
        ("SELECT a FROM t UNION ALL SELECT x FROM u", {"a": {"t.a", "u.x"}}),
        ("SELECT v FROM t LATERAL VIEW OUTER posexplode(xs) e AS i, v", {"v": {"t.xs"}}),
        ("SELECT transform(xs, x -> x + b) AS ys, s.f.g AS g FROM t", {"ys": {"t.xs", "t.b"}, "g": {"t.s"}}),
        ("SELECT a FROM t LEFT SEMI JOIN u ON t.id = u.id", {"a": {"t.a"}}),
        ("SELECT count(*) AS n, 1 AS one FROM t", {"n": set(), "one": set()}),
    ],
)
def test_lineage_names_what_each_output_is_made_of(select, expected):
    actual = {output: {".".join(o) for o in origins} for output, origins in lineage(select, T).items()}

    assert actual == expected


def test_a_star_over_two_tables_gives_a_joined_column_once():
    assert list(lineage("SELECT * FROM t JOIN (SELECT id, x FROM u) v USING (id)", T)) == [*T["t"], "x"]


def test_filters_are_what_decides_which_rows_there_are():
    select = "WITH c AS (SELECT id, a FROM t WHERE b > 1) SELECT c.a FROM c JOIN u ON c.id = u.id"

    assert filters(select, T) == {("t", "b"), ("t", "id"), ("u", "id")}


@pytest.mark.parametrize(
    ("select", "sentence"),
    [
        ("SELECT idd FROM t", "no column 'idd'; did you mean 'id'?"),
        ("SELECT u.xx FROM u", "no column 'u.xx'; did you mean 'x'?"),
        ("SELECT a FROM t JOIN u ON t.id = u.id", "column 'a' is in t and u; say which"),
        ("SELECT a, b AS a FROM t", "two outputs are named 'a'"),
        ("SELECT a + 1 FROM t", "the output 'a + 1' has no name; add AS name"),
        ("SELECT z.* FROM t", "'z.*' names no relation; there is t"),
        ("SELECT t.a FROM t JOIN t ON true", "two relations are named 't'; give one an alias"),
        ("SELECT a FROM t UNION ALL SELECT a, x FROM u", "UNION of 1 and 2 columns"),
        ("SELECT a FROM t NATURAL JOIN u", "NATURAL JOIN changes when a column is added; name the columns with USING"),
    ],
)
def test_lineage_refuses_what_it_cannot_tell(select, sentence):
    assert said(lineage, select, T) == sentence


@pytest.mark.parametrize(
    "select",
    [
        "SELECT CASE WHEN (a) IN (1, 2) THEN (b) END AS r, CAST(a AS DECIMAL(10, 2)) AS d FROM t WHERE NOT (a = 1)",
        "WITH c AS (SELECT a FROM t) SELECT row_number() OVER (ORDER BY a) AS n FROM c QUALIFY n = 1",
        "SELECT aggregate(xs, 0, (acc, x) -> acc + x) AS total, a RLIKE r'^\\d+$' AS digits FROM t -- a comment",
        "SELECT current_timestamp() AS read_at, timestampadd(MINUTE, a, at) + INTERVAL '3' HOURS AS later FROM t",
        "SELECT first(a) OVER (PARTITION BY b ORDER BY at) AS f, count_if(a > 1) FILTER (WHERE b) AS n FROM t",
        "SELECT a FROM t ORDER BY a LIMIT 3",
    ],
)
def test_ordinary_sql_is_allowed(select):
    refuse(select, T)


@pytest.mark.parametrize(
    ("select", "sentence"),
    [
        ("SELECT reflect('java.lang.Runtime', 'exit') AS r FROM t", "reflect() is not among the functions"),
        ("SELECT `java_method`('java.lang.Runtime', 'exit') AS r FROM t", "java_method() is not among the functions"),
        ("SELECT lib.upper(a) AS r FROM t", "upper() is not among the functions"),
        ("SELECT concatt(a, b) AS r FROM t", "did you mean concat()?"),
        ("SELECT input_file_name() AS f FROM t", "input_file_name() is not among"),
        ("SELECT monotonically_increasing_id() AS f FROM t", "monotonically_increasing_id() is not among"),
        ("SELECT rand() AS r FROM t", "rand() is not among"),
        ("SELECT uuid() AS r FROM t", "uuid() is not among"),
        ("SELECT version() AS r FROM t", "version() is not among"),
        ("SELECT collect_list(a) AS r FROM t", "collect_list() is not among"),
        ("SELECT current_user() AS r FROM t", "current_user differs from session to session"),
        ("SELECT current_catalog AS r FROM t", "current_catalog differs from session to session"),
        ("SELECT unix_timestamp() AS r FROM t", "unix_timestamp() without an argument reads the clock"),
        ("SELECT CAST('now' AS TIMESTAMP) AS r FROM t", "'now' can be read as the clock"),
        ("SELECT DATE 'today' AS r FROM t", "'today' can be read as the clock"),
        ("SELECT date_add(' Now UTC', a) AS r FROM t", "can be read as the clock"),
        ("SELECT a FROM t WHERE at > r'yesterday'", "'yesterday' can be read as the clock"),
        ("SELECT first(a) AS r FROM t", "first() needs OVER (... ORDER BY ...)"),
        ("SELECT a FROM t LIMIT 3", "LIMIT without ORDER BY keeps other rows"),
        ("SELECT a FROM t TABLESAMPLE (10 PERCENT)", "is not among"),
        ("SELECT a FROM csv.`/etc/passwd`", "reads csv./etc/passwd; only the pipeline's own relations"),
        ("SELECT a FROM delta.`s3://bucket/t`", "only the pipeline's own relations"),
        ("SELECT a FROM one.two.t", "reads one.two.t; only the pipeline's own relations"),
        ("SELECT a FROM tt", "reads 'tt', which is no source or table; did you mean 't'?"),
        ("SELECT a FROM T", "reads 'T', which is no source or table"),
        ("SELECT id FROM range(3)", "range() is not among"),
        ("SELECT a FROM read_files('/etc')", "read_files() is not among"),
        ("SELECT a FROM IDENTIFIER('t')", "identifier() is not among"),
        ("SELECT a FROM (SELECT x AS a FROM VALUES (1) AS v(x))", "values() is not among"),
        ("SELECT a FROM t, LATERAL py(a)", "py() is not among"),
        ("SELECT TRANSFORM(a) USING 'cat' AS (b) FROM t", "TRANSFORM runs a program"),
        ("SELECT a FROM t VERSION AS OF 3", "which version is read is the engine's business"),
        ("SELECT /*+ BROADCAST(t) */ a FROM t", "'/*' may hold a hint"),
        ("SELECT a FROM t; DROP TABLE t", "';' ends a statement"),
        ("SELECT a FROM t |> WHERE a", "'|>' is not read here"),
        ("SELECT :p AS a FROM t", "parameters have no value here"),
        ("SELECT '${env:HOME}' AS a FROM t", "'${' is replaced from the session's settings"),
        ("SELECT {{ a }} FROM t", "'{{' is a template"),
        ("SELECT r'\\', reflect('x'), r'\\' AS a FROM t", "a backslash before a quote"),
        ("SELECT a FROM t -- \\\n ' \n, reflect('x') -- '", "a backslash may not end a line"),
        ("INSERT INTO t SELECT a FROM t", "should be one SELECT, got INSERT"),
        ("DROP TABLE t", "should be one SELECT, got DROP"),
        ("SET spark.jars = x", "should be one SELECT, got SET"),
        ("EXPLAIN SELECT a FROM t", "should be one SELECT, got EXPLAIN"),
        ("SELECT a INTO v FROM t", "SELECT INTO writes"),
        ("SELECT a FROM t FOR UPDATE", "FOR UPDATE locks"),
        ("SELECT a FROM", "not SQL: Expected table name but got the end"),
        ("", "should be one SELECT, got nothing"),
        ("(" * 3000, "nested too deep"),
        ("SELECT " + "a" * 60_000, "60007 letters of SQL; the most is 50000"),
    ],
)
def test_sql_that_reaches_out_is_refused(select, sentence):
    assert sentence in said(refuse, select, T)


def test_an_expression_reads_the_columns_of_its_own_row():
    assert refuse_expression("a >= 15 AND b IS NULL", T["t"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("aa >= 15", "no column 'aa'; did you mean 'a'?"),
        ("a, b", "is not one expression"),
        ("a) AS x, (b", "is not one expression"),
        ("a) AS it FROM rows UNION SELECT (b", "is not one expression"),
        ("a > (SELECT max(a) FROM rows)", "reads other rows"),
        ("avg(a) OVER () > 1", "reads other rows"),
        ("rand() > 0.5", "rand() is not among"),
        ("a >", "not SQL"),
    ],
)
def test_an_expression_is_one_expression(text, sentence):
    assert sentence in said(refuse_expression, text, T["t"])


def test_the_clock_is_replaced_and_nothing_else():
    select = "SELECT current_timestamp AS x, now() AS now, current_date() AS d, 'now()' AS s, t.now  FROM t -- now()"

    actual = replace_now(select, datetime(2013, 12, 1, 5))

    moment = "TIMESTAMP '2013-12-01 05:00:00.000000Z'"
    assert (
        actual == f"SELECT {moment} AS x, {moment} AS now, DATE '2013-12-01' AS d, 'now()' AS s, t.now  FROM t -- now()"
    )


def test_a_column_named_like_a_clock_is_left_alone():
    select = "SELECT a AS current_date, b AS `now`, t.current_timestamp FROM t"

    assert replace_now(select, datetime(2013, 12, 1)) == select


def test_ddl_gives_names_and_types_in_order():
    text = "year int, delay decimal(5,2), `dep time` STRING, tags ARRAY<STRING>, s STRUCT<a: INT, b: MAP<STRING, LONG>>"

    assert list(ddl(text).items()) == [
        ("year", "INT"),
        ("delay", "DECIMAL(5,2)"),
        ("dep time", "STRING"),
        ("tags", "ARRAY<STRING>"),
        ("s", "STRUCT<a: INT, b: MAP<STRING, BIGINT>>"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a column name should stand here, got the end; write 'name TYPE, name TYPE'"),
        ("year", "column 'year': a type should stand here, got the end"),
        ("year INTT", "column 'year': no type 'INTT'; did you mean 'INT'?"),
        ("year INT origin STRING", "after column 'year' a comma should stand, got 'origin'"),
        ("year INT, Year INT", "column 'Year' stands twice"),
        ("year INT,", "a column name should stand here, got the end; write 'name TYPE, name TYPE'"),
        ("d DECIMAL(50,2)", "column 'd': DECIMAL(50,2) has no such digits; 1 to 38, the scale within them"),
        ("d DECIMAL(5,6)", "column 'd': DECIMAL(5,6) has no such digits; 1 to 38, the scale within them"),
        ("m MAP<STRING>", "column 'm': MAP<key, value> has two types, got 1"),
        ("a ARRAY<INT", "column 'a': '>' should stand here, got the end"),
        ("a INT; DROP TABLE t", "after column 'a' a comma should stand, got ';'"),
    ],
)
def test_ddl_refuses_what_spark_would_not_take(text, sentence):
    assert said(ddl, text) == sentence
