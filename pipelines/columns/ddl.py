"""Spark DDL ('year INT, origin STRING') read without Spark: names and types, or what is wrong with them."""

import re
from collections.abc import Mapping

from pipelines.columns.parse import near
from pipelines.errors import SpecError

SIMPLE = {
    "BOOLEAN": "BOOLEAN", "TINYINT": "TINYINT", "BYTE": "TINYINT", "SMALLINT": "SMALLINT", "SHORT": "SMALLINT",
    "INT": "INT", "INTEGER": "INT", "BIGINT": "BIGINT", "LONG": "BIGINT", "FLOAT": "FLOAT", "REAL": "FLOAT",
    "DOUBLE": "DOUBLE", "STRING": "STRING", "BINARY": "BINARY", "DATE": "DATE", "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMP_NTZ": "TIMESTAMP_NTZ", "TIMESTAMP_LTZ": "TIMESTAMP",
    "DECIMAL": "DECIMAL(10,0)", "DEC": "DECIMAL(10,0)", "NUMERIC": "DECIMAL(10,0)",
}  # fmt: skip
DEEPEST = 20
_WORDS = re.compile(r"\s*(?:([A-Za-z_]\w*)|(\d+)|(`(?:[^`]|``)+)`|([<>(),:])|(\S))")


def ddl(text: str) -> dict[str, str]:
    """'year int, delay decimal(5,2)' -> {'year': 'INT', 'delay': 'DECIMAL(5,2)'}, in order. Errors: SpecError."""
    words = _Words(text)
    columns: dict[str, str] = {}
    while True:
        name = words.name()
        if name.lower() in (c.lower() for c in columns):
            raise SpecError(f"column '{name}' stands twice")
        columns[name] = _type(words, f"column '{name}'", 0)
        if not words.take(","):
            break
    if words.left:
        raise SpecError(f"after column '{name}' a comma should stand, got '{words.left[0]}'")
    return columns


def ddl_text(columns: Mapping[str, str]) -> str:
    """{'year': 'INT', 'a b': 'STRING'} -> '`year` INT, `a b` STRING', as Spark reads it."""
    return ", ".join(f"{backquoted(name)} {kind}" for name, kind in columns.items())


def backquoted(name: str) -> str:
    """A name as SQL reads it, whatever its letters are."""
    return f"`{name.replace('`', '``')}`"


class _Words:
    """The words of a DDL text, taken from the front."""

    def __init__(self, text: str) -> None:
        found = _WORDS.finditer(text)
        self.left = [next(g for g in match.groups() if g is not None) for match in found if match[0].strip()]

    def take(self, sign: str) -> bool:
        if self.left[:1] == [sign]:
            self.left.pop(0)
            return True
        return False

    def need(self, sign: str, where: str) -> None:
        if not self.take(sign):
            raise SpecError(f"{where}: '{sign}' should stand here, got {self.seen}")

    @property
    def seen(self) -> str:
        return f"'{self.left[0]}'" if self.left else "the end"

    def name(self) -> str:
        """A word, or what stood between backquotes (of which the first is kept as a mark)."""
        if not self.left or not re.match(r"[\w`]", self.left[0]):
            raise SpecError(f"a column name should stand here, got {self.seen}; write 'name TYPE, name TYPE'")
        word = self.left.pop(0)
        return word[1:].replace("``", "`") if word.startswith("`") else word

    def number(self, where: str) -> int:
        if not self.left or not self.left[0].isascii() or not self.left[0].isdigit():
            raise SpecError(f"{where}: a number should stand here, got {self.seen}")
        return int(self.left.pop(0)[:9])


def _type(words: _Words, where: str, depth: int) -> str:
    if not words.left or not re.match(r"[A-Za-z]", words.left[0]) or depth > DEEPEST:
        raise SpecError(f"{where}: a type should stand here, got {words.seen}")
    kind = words.left.pop(0).upper()
    if kind in ("DECIMAL", "DEC", "NUMERIC") and words.take("("):
        return _decimal(words, where)
    if kind in SIMPLE:
        return SIMPLE[kind]
    if kind == "ARRAY":
        return f"ARRAY<{_inside(words, where, depth)}>"
    if kind == "MAP":
        return f"MAP<{_inside(words, where, depth, 'key')}>"
    if kind == "STRUCT":
        return f"STRUCT<{_inside(words, where, depth, 'fields')}>"
    raise SpecError(f"{where}: no type '{kind}'{near(kind, (*SIMPLE, 'ARRAY', 'MAP', 'STRUCT'))}")


def _decimal(words: _Words, where: str) -> str:
    precision = words.number(where)
    scale = words.number(where) if words.take(",") else 0
    words.need(")", where)
    if not 1 <= precision <= 38 or scale > precision:
        raise SpecError(f"{where}: DECIMAL({precision},{scale}) has no such digits; 1 to 38, the scale within them")
    return f"DECIMAL({precision},{scale})"


def _inside(words: _Words, where: str, depth: int, form: str = "item") -> str:
    """What stands between < and >: an item, a key and a value, or fields."""
    words.need("<", where)
    parts: list[str] = []
    while True:
        label = ""
        if form == "fields":
            name = words.name()
            words.take(":")
            label = f"{name}: " if re.fullmatch(r"\w+", name) else f"`{name.replace('`', '``')}`: "
        parts.append(label + _type(words, where, depth + 1))
        if form == "item" or (form == "key" and len(parts) == 2) or not words.take(","):
            break
    words.need(">", where)
    if form == "key" and len(parts) != 2:
        raise SpecError(f"{where}: MAP<key, value> has two types, got {len(parts)}")
    return ", ".join(parts)
