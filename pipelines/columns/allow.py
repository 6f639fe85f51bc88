"""What a conf may say in SQL: it allows what it knows (functions by name, the pipeline's own relations), no more.

A conf author is half-trusted. To allow another function, add its name to
FUNCTIONS; it must give the same value on every replay and reach nothing
outside the row. What was checked is, letter for letter, what Spark gets (but
for the clock: `replace_now`), so text that two parsers could read differently
is refused as well.
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from difflib import get_close_matches

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from pipelines.columns.lineage import lineage
from pipelines.columns.parse import near, query, tables, tokens
from pipelines.errors import SpecError

FUNCTIONS = frozenset(
    """
    abs acos acosh add_months aggregate any approx_count_distinct array array_append array_compact array_contains
    array_distinct array_except array_insert array_intersect array_join array_max array_min array_position
    array_prepend array_remove array_repeat array_size array_sort array_union arrays_overlap arrays_zip ascii asin asinh
    atan atan2 atanh avg base64 bigint bin binary bit_and bit_count bit_length bit_or bit_xor bool_and bool_or boolean
    bround btrim cardinality cast cbrt ceil ceiling char_length character_length chr coalesce concat concat_ws contains
    conv convert_timezone corr cos cosh cot count count_if covar_pop covar_samp crc32 csc cume_dist curdate
    current_date current_timestamp date date_add date_diff date_format date_from_unix_date date_part date_sub date_trunc
    dateadd datediff datepart day dayname dayofmonth dayofweek dayofyear decimal decode degrees dense_rank double
    element_at elt encode endswith equal_null every exists exp explode explode_outer expm1 extract factorial filter
    find_in_set first first_value flatten float floor forall format_number format_string from_json from_unixtime
    from_utc_timestamp get get_json_object getbit greatest grouping grouping_id hash hex hour hypot if ifnull ilike
    initcap inline inline_outer instr int isnan isnotnull isnull json_array_length json_object_keys kurtosis lag last
    last_day last_value lcase lead least left len length levenshtein like ln localtimestamp locate log log10 log1p log2
    lower lpad ltrim luhn_check make_date make_dt_interval make_interval make_timestamp make_timestamp_ltz
    make_timestamp_ntz make_ym_interval map map_concat map_contains_key map_entries map_filter map_from_arrays
    map_from_entries map_keys map_values map_zip_with mask max max_by md5 mean median min min_by minute mod month
    monthname months_between named_struct nanvl negative next_day now nth_value ntile nullif nullifzero nvl nvl2
    octet_length overlay parse_url percent_rank percentile pi pmod posexplode posexplode_outer position positive pow
    power quarter radians rank regexp regexp_count regexp_extract regexp_extract_all regexp_instr regexp_like
    regexp_replace regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope repeat replace reverse
    right rint rlike round row_number rpad rtrim sec second sequence sha sha1 sha2 shiftleft shiftright
    shiftrightunsigned sign signum sin sinh size skewness slice smallint some sort_array soundex space split split_part
    sqrt stack startswith std stddev stddev_pop stddev_samp str_to_map string struct substr substring substring_index
    sum tan tanh timestamp timestamp_micros timestamp_millis timestamp_seconds timestampadd timestampdiff tinyint
    to_binary to_char to_date to_json to_number to_timestamp to_timestamp_ltz to_timestamp_ntz to_unix_timestamp
    to_utc_timestamp transform transform_keys transform_values translate trim trunc try_add try_avg try_cast try_divide
    try_element_at try_mod try_multiply try_subtract try_sum try_to_date try_to_number try_to_timestamp typeof ucase
    unbase64 unhex unix_date unix_micros unix_millis unix_seconds unix_timestamp upper url_decode url_encode var_pop
    var_samp variance weekday weekofyear width_bucket window xxhash64 year zeroifnull zip_with
    """.split()
)
CLOCKS = {
    "current_timestamp": "TIMESTAMP '{0:%Y-%m-%d %H:%M:%S.%f}Z'",
    "now": "TIMESTAMP '{0:%Y-%m-%d %H:%M:%S.%f}Z'",
    "localtimestamp": "TIMESTAMP_NTZ '{0:%Y-%m-%d %H:%M:%S.%f}'",
    "current_date": "DATE '{0:%Y-%m-%d}'",
    "curdate": "DATE '{0:%Y-%m-%d}'",
}
_BARE = ("current_timestamp", "localtimestamp", "current_date")  # may stand without ()
_ROWS = frozenset("explode explode_outer inline inline_outer posexplode posexplode_outer stack window".split())
_SYNTAX = frozenset(  # words that stand before a parenthesis and call nothing
    """
    all and any as between by case cube dec distinct div else escape except exists from group grouping having in
    intersect is join limit not numeric on or over qualify rollup select sets some then union using varchar char when
    where with partition order
    """.split()
)
_SESSION = frozenset(
    """
    current_catalog current_database current_role current_schema current_time current_user localtime session_user
    """.split()
)
_NOT_LETTERS = {
    "${": "'${' is replaced from the session's settings",
    "{{": "'{{' is a template, and a conf has none",
    "/*": "'/*' may hold a hint; write a comment with --",
    "\\'": "a backslash before a quote reads differently to different parsers; double the quote",
    '\\"': "a backslash before a quote reads differently to different parsers; double the quote",
    "\\\n": "a backslash may not end a line",
    "\\\r": "a backslash may not end a line",
}
_NOT_TOKENS = {
    TokenType.SEMICOLON: "';' ends a statement, and a select is one",
    TokenType.PIPE_GT: "'|>' is not read here; write a subquery",
    TokenType.PARAMETER: "parameters have no value here",
    TokenType.PLACEHOLDER: "parameters have no value here",
}
_NOT_NODES: dict[type[exp.Expr], str] = {
    exp.Placeholder: "parameters have no value here",
    exp.Parameter: "parameters have no value here",
    exp.SessionParameter: "parameters have no value here",
    exp.Hint: "hints are the engine's business",
    exp.Into: "SELECT INTO writes",
    exp.Lock: "FOR UPDATE locks",
    exp.QueryTransform: "TRANSFORM runs a program",
    exp.TableSample: "TABLESAMPLE keeps other rows on every replay",
    exp.Pivot: "PIVOT is not read here; write one aggregate a column",
    exp.Values: "VALUES is not read here; land a file and make a source of it",
    exp.Version: "which version is read is the engine's business",
    exp.DML: "a select does not write",
    exp.DDL: "a select does not write",
}
_ARBITRARY = (exp.First, exp.Last, exp.FirstValue, exp.LastValue, exp.NthValue)
_SPECIAL = re.compile(r"\s*(now|today|tomorrow|yesterday)(\s+([A-Z][\w/+:-]*|[+-][\d:]+))?\s*", re.IGNORECASE)


def refuse(select: str, known: Collection[str]) -> None:
    """SpecError unless it is one SELECT over `known` relations that calls FUNCTIONS alone."""
    _refuse_text(select)
    tree = query(select)
    _refuse_nodes(tree)
    for table in tables(tree):
        if table.args.get("db") or not isinstance(table.this, exp.Identifier):
            named = ".".join(part.name for part in table.parts)
            raise SpecError(f"reads {named}; only the pipeline's own relations are read")
        if table.name not in known:
            raise SpecError(f"reads '{table.name}', which is no source or table{near(table.name, known)}")


def refuse_expression(text: str, columns: Sequence[str]) -> frozenset[str]:
    """The columns that one SQL expression over `columns` reads; SpecError under the rules of `refuse`."""
    _refuse_text(text)
    words = tokens(text)
    for name in (word.text.lower() for i, word in enumerate(words) if _called(words, i)):
        if name in _ROWS:
            raise SpecError(f"{name}() makes rows of one; an expression makes one value of each")
    select = f"SELECT ({text}\n) AS it FROM rows"
    tree = query(select)
    _refuse_nodes(tree)
    clauses = {name for name, part in tree.args.items() if part} - {"expressions", "from_"}
    if clauses or len(tree.selects) != 1 or not isinstance(tree.selects[0].unalias(), exp.Paren):
        raise SpecError(f"'{text}' is not one expression")
    if tree.find(exp.AggFunc, exp.Window, exp.Subquery, exp.Exists) or len(list(tree.find_all(exp.Query))) > 1:
        raise SpecError(f"'{text}' reads other rows; an expression reads the columns of its own")
    return frozenset(column for _, column in lineage(select, {"rows": columns})["it"])


def replace_now(select: str, now: datetime) -> str:
    """The same SELECT with every reading of the clock replaced by a literal of `now` (UTC); nothing else changes."""
    parts, end = [], 0
    words = tokens(select)
    for i, word in enumerate(words):
        form = CLOCKS.get(word.text.lower())
        called = _called(words, i) and words[i + 2].token_type == TokenType.R_PAREN
        if not form or _named(words, i) or not (called or word.text.lower() in _BARE):
            continue
        parts += [select[end : word.start], form.format(now)]
        end = (words[i + 2] if called else word).end + 1
    return "".join([*parts, select[end:]])


def _refuse_text(select: str) -> None:
    for letters, why in _NOT_LETTERS.items():
        if letters in select:
            raise SpecError(why)
    words = tokens(select)
    for i, word in enumerate(words):
        if word.token_type in _NOT_TOKENS:
            raise SpecError(_NOT_TOKENS[word.token_type])
        if word.token_type not in (TokenType.STRING, TokenType.RAW_STRING, TokenType.NUMBER):
            _refuse_call(words, i)


def _refuse_call(words: list[Token], i: int) -> None:
    """Names as written, so that no parser's idea of a synonym comes between."""
    name, quoted = words[i].text.lower(), words[i].token_type == TokenType.IDENTIFIER
    if name in _SESSION and not quoted:
        raise SpecError(f"{name} differs from session to session")
    if not _called(words, i) or not (quoted or (re.fullmatch(r"\w+", name) and name not in _SYNTAX)):
        return
    if name not in FUNCTIONS or words[i - 1].token_type == TokenType.DOT:
        raise SpecError(f"{name}() is not among the functions a conf may call{_close(name)}")
    if name == "unix_timestamp" and words[i + 2].token_type == TokenType.R_PAREN:
        raise SpecError("unix_timestamp() without an argument reads the clock; give it current_timestamp()")


def _close(name: str) -> str:
    close = get_close_matches(name, FUNCTIONS, n=1, cutoff=0.75)
    return f"; did you mean {close[0]}()?" if close else ""


def _called(words: list[Token], i: int) -> bool:
    return i + 2 < len(words) and words[i + 1].token_type == TokenType.L_PAREN


def _named(words: list[Token], i: int) -> bool:
    """The word names something: quoted, a part of a dotted name, or an alias."""
    before = words[i - 1].token_type if i else None
    after = words[i + 1].token_type if i + 1 < len(words) else None
    quoted = words[i].token_type in (TokenType.IDENTIFIER, TokenType.STRING, TokenType.RAW_STRING)
    return quoted or before in (TokenType.DOT, TokenType.ALIAS) or after == TokenType.DOT


def _refuse_nodes(tree: exp.Query) -> None:
    for node in tree.walk():
        why = next((w for kind, w in _NOT_NODES.items() if isinstance(node, kind)), "") or _replayed_otherwise(node)
        if why:
            raise SpecError(why)


def _replayed_otherwise(node: exp.Expr) -> str:
    """Why the same rows could give something else tomorrow; empty where they cannot."""
    if isinstance(node, exp.Limit) and not (node.parent and node.parent.args.get("order")):
        return "LIMIT without ORDER BY keeps other rows on every replay"
    window = node.find_ancestor(exp.Window) if isinstance(node, _ARBITRARY) else None
    if isinstance(node, _ARBITRARY) and not (window and window.args.get("order")):
        return f"{node.key}() needs OVER (... ORDER BY ...); without it the row is arbitrary"
    text = isinstance(node, exp.RawString) or (isinstance(node, exp.Literal) and node.is_string)
    if text and _SPECIAL.fullmatch(node.name):  # wherever it stands: Spark casts '...' to a time unasked
        return f"'{node.name}' can be read as the clock; write current_timestamp() or current_date()"
    return ""
