"""A first conf from data: looks at a file or a folder and writes down what it sees, for a person to correct.

What is inferred here once stands in the conf as text ever after: a pipeline
never infers.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from pipelines import log
from pipelines.columns import lineage
from pipelines.errors import SpecError
from pipelines.packed import GZIP, opened
from pipelines.profile import MOST_ROWS, NULLS, Profile, blocks, profiled
from pipelines.suggest import suggestions

FORMATS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
FIRST_BYTES = 1_000_000  # in which a text for missing values is looked for
_TYPES = (
    (pa.types.is_boolean, "BOOLEAN"),
    (lambda t: pa.types.is_integer(t) and t.bit_width < 64, "INT"),
    (pa.types.is_integer, "BIGINT"),
    (pa.types.is_float32, "FLOAT"),
    (pa.types.is_floating, "DOUBLE"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_timestamp, "TIMESTAMP"),
    (pa.types.is_decimal, "DECIMAL({0.precision},{0.scale})"),
    (lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t), "BINARY"),
)


@dataclass(frozen=True)
class Column:
    """One column as the conf will have it."""

    name: str  # in the file
    clean: str  # in the table: letters, digits, underscores
    ddl: str
    whole: bool  # no null was seen
    unique: bool
    promises: tuple[str, ...] = ()  # lines under `expect:`


def scaffold(path: Path, name: str) -> str:
    """The text of a commented conf for what lies at path (a file, a folder of files of one format, a Delta table).

    Reads all files once, MOST_ROWS rows at most. Errors: SpecError for a missing path, nothing readable, headers that
    differ, names that cannot be told apart.
    """
    delta = (path / "_delta_log").is_dir()
    files, kind = _of_table(path) if delta else _files(path)
    _one_header(files, kind)
    found = profiled(blocks(files, kind))
    if not found or not found[0].rows:
        raise SpecError(f"{files[0]}: has no rows to look at")
    columns = [_column(profile, i, kind) for i, profile in enumerate(found)]
    _distinct(files[0], columns)
    folder = path.name if path.is_dir() else path.parent.resolve().name
    return _text(_word(name), "delta" if delta else kind, _folder(folder), columns, _null(files[0], kind))


def _of_table(path: Path) -> tuple[list[Path], str]:
    """The files of a Delta table's newest version. Errors: SpecError where their rows are not all of the table's."""
    table = log.plain(str(path))
    if table is None:
        raise SpecError(f"{path}: its files alone do not say what it holds; write its source by hand, `kind: delta`")
    files = [Path(unquote(uri)) for uri in table.file_uris()]
    if not files:
        raise SpecError(f"{path}: has no rows to look at")
    return sorted(files), "parquet"


def _files(path: Path) -> tuple[list[Path], str]:
    if not path.exists():
        raise SpecError(f"{path}: no such file or folder")
    found = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    known = [p for p in found if _suffix(p) in FORMATS and not p.name.startswith((".", "_"))]
    if not known:
        raise SpecError(f"{path}: no file that can be read; there is {_listed(found)}, and {_listed(FORMATS)} can be")
    kinds = sorted({FORMATS[_suffix(p)] for p in known})
    if len(kinds) > 1:
        raise SpecError(f"{path}: holds {' and '.join(kinds)}; a source has one format")
    return known, kinds[0]


def _suffix(file: Path) -> str:
    """'.csv' of orders.csv and of orders.csv.gz."""
    return Path(file.name.removesuffix(GZIP)).suffix.lower()


def _listed(names: Iterable[object]) -> str:
    shown = [n.name if isinstance(n, Path) else str(n) for n in names]
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "") or "nothing"


def _one_header(files: list[Path], kind: str) -> None:
    first = _header(files[0], kind)
    for file in files[1:]:
        names = _header(file, kind)
        if names is not None and first is not None and names != first:
            odd = [n for n in [*names, *first] if (n in names) != (n in first)] or names
            raise SpecError(f"{file}: its columns differ from those of {files[0].name}, first in '{odd[0]}'")


def _header(file: Path, kind: str) -> list[str] | None:
    """Column names in order; None for json, whose lines may leave keys out."""
    if kind == "json":
        return None
    try:
        if kind == "parquet":
            return list(parquet.read_schema(file).names)
        with opened(file) as held:
            line = held.readline()
        return list(csv.read_csv(pa.BufferReader(line)).column_names) if line.strip() else []
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: its header cannot be read: {str(error).splitlines()[0]}") from None


def _null(file: Path, kind: str) -> str:
    """The text that most often stands for a missing value in a csv; '' if none is seen."""
    if kind != "csv":
        return ""
    with opened(file) as held:
        text = held.read(FIRST_BYTES).decode("utf-8", "replace")
    counts = {word: len(re.findall(rf"(?:^|,){word}(?=,|\r?$)", text, re.MULTILINE)) for word in NULLS if word}
    most = max(counts, key=counts.__getitem__)
    return most if counts[most] else ""


def _column(seen: Profile, position: int, kind: str) -> Column:
    clean = _clean(seen.name, position)
    return Column(seen.name, clean, _ddl(seen, kind), not seen.nulls, seen.unique, tuple(suggestions(clean, seen)))


def _clean(name: str, position: int) -> str:
    """'dep. time (é)' -> 'dep_time_e'; where no letter is left, the position speaks."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    word = re.sub(r"\W+", "_", plain).strip("_") or f"column_{position + 1}"
    return f"_{word}" if word[0].isdigit() else word


def _ddl(seen: Profile, kind: str) -> str:
    """The narrowest integer that holds what a text says; what has types of its own is read by no other."""
    if kind != "parquet" and pa.types.is_int64(seen.type) and seen.least is not None:
        return "INT" if -(2**31) <= seen.least and seen.greatest < 2**31 else "BIGINT"
    return _of(seen.type)


def _of(kind: pa.DataType) -> str:
    """Spark's name for an Arrow type; what Spark has no name for is a text."""
    if pa.types.is_struct(kind):
        fields = (kind.field(i) for i in range(kind.num_fields))
        return f"STRUCT<{', '.join(f'{_quoted(f.name)}: {_of(f.type)}' for f in fields)}>"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"ARRAY<{_of(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"MAP<{_of(kind.key_type)}, {_of(kind.item_type)}>"
    return next((ddl.format(kind) for holds, ddl in _TYPES if holds(kind)), "STRING")


def _distinct(file: Path, columns: list[Column]) -> None:
    met: dict[str, str] = {}
    for column in columns:
        if not column.name.strip():
            raise SpecError(f"{file}: a column has no name")
        if column.clean.lower() in met:
            raise SpecError(f"{file}: columns '{met[column.clean.lower()]}' and '{column.name}' have one name in SQL")
        met[column.clean.lower()] = column.name


def _word(name: str) -> str:
    """A snake_case name, as the keys of a conf are."""
    word = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
    return (word if re.match("[a-z]", word) else f"data_{word}".rstrip("_"))[:50]


def _folder(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "data"


def _text(name: str, kind: str, folder: str, columns: list[Column], null: str) -> str:
    key = next((c for c in columns if c.unique and _like_a_key(c)), None)
    time = next((c for c in columns if c.ddl in ("TIMESTAMP", "DATE") and c.whole), None)
    select = ",\n             ".join(_selected(c) for c in columns)
    return "\n".join(
        [
            "# yaml-language-server: $schema=schema.json",
            f"# Written from what the data hold, {MOST_ROWS:,} rows at most; read it through, then: lakeloom check",
            f"pipeline: {name}",
            "",
            "sources:",
            f"  {name}_raw:",
            *(["    kind: delta"] if kind == "delta" else ["    kind: files", f"    format: {kind}"]),
            f"    path: {folder}                # folder under the target's landing root",
            *([f"    null: {json.dumps(null)}"] if null else []),
            *_optional(kind, columns),
            "    schema: >",
            "      " + ",\n      ".join(f"{_quoted(c.name)} {c.ddl}" for c in columns),
            "",
            "tables:",
            f"  {name}:",
            f"    from: {name}_raw              # each refresh reads only the files that are new",
            _key_line(key),
            _time_line(time),
            "    # known_at: {outcome: settled_at}   # columns that become known only after event_time",
            "    select: >",
            f"      SELECT {select}",
            f"      FROM {name}_raw",
            "    expect:",
            *_promises(columns),
            "",
            _hints(name, key, time, columns),
        ]
    )


def _optional(kind: str, columns: list[Column]) -> list[str]:
    """Of JSON, whose writers often leave out what is null."""
    names = [c.name for c in columns if not c.whole] if kind == "json" else []
    return [f"    optional: {json.dumps(names)}     # a file may lack them"] if names else []


def _like_a_key(column: Column) -> bool:
    return column.ddl in ("STRING", "INT", "BIGINT")


def _quoted(name: str) -> str:
    """In backquotes unless SQL reads it as a column without them."""
    try:
        bare = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and list(lineage(f"SELECT {name} FROM r", {"r": [name]}))
    except SpecError:
        bare = None
    return name if bare == [name] else "`" + name.replace("`", "``") + "`"


def _selected(column: Column) -> str:
    return _quoted(column.name) + ("" if column.clean == column.name else f" AS {_quoted(column.clean)}")


def _key_line(key: Column | None) -> str:
    if key:
        return f"    keys: [{key.clean}]               # no value stood there twice; of equal keys one row stays"
    return "    # keys: [id]                 # no column was unique; without keys every row is appended"


def _time_line(time: Column | None) -> str:
    if time:
        return f"    event_time: {time.clean}         # when the row happened; its columns are known from then on"
    return "    # event_time: happened_at    # no column holds a time in every row; features need one"


def _promises(columns: list[Column]) -> list[str]:
    """What each column kept, and always one promise about the whole."""
    kept = [line for c in columns for line in c.promises]
    return [*kept, "      - expect_table_row_count_to_be_between: {min_value: 1}\n        on_fail: fail"]


def _hints(name: str, key: Column | None, time: Column | None, columns: list[Column]) -> str:
    """The rest of a pipeline, commented out, with this table's names where it can be told."""
    keys, at = (key.clean if key else "id"), (time.clean if time else "happened_at")
    seen = [c.clean for c in columns if c not in (key, time)][:3]
    return f"""# features:
#   {name}_features:
#     spine: {name}                 # one feature row for each of its rows
#     keys: [{keys}]
#     as_of_time: {at}         # nothing known later than this may be seen
#     columns: [{", ".join(seen)}]
#
# models:
#   outcome:
#     features: {name}_features
#     label: outcome >= 1            # SQL over the columns of {name}
#     task: binary
#     candidates:
#       - {{kind: logistic_regression}}
#       - {{kind: xgboost, rounds: 200}}
#     gates:
#       - {{metric: roc_auc, min: 0.6}}
#
# scores:
#   outcome_daily: {{model: outcome, of: {name}_features, mode: batch}}
"""
