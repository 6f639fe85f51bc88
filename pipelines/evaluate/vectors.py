"""Arithmetic on vectors within a projection: distances and products with numbers that a fit has found.

The numbers stand in the expression as constants, so a score is computed where
its row is, without a join. Cost: of an array of d numbers, d steps a product.
"""

from collections.abc import Callable, Iterable

from pyspark.sql import Column
from pyspark.sql import functions as F

Vector = Iterable[float]


def constant(vector: Vector) -> Column:
    """An array of numbers; as SQL, since thousands of literals one by one take seconds."""
    return F.expr(_array(vector))


def table(vectors: Iterable[Vector]) -> Column:
    """An array of arrays."""
    return F.expr(f"array({', '.join(map(_array, vectors))})")


def _array(vector: Vector) -> str:
    return f"array({', '.join(f'{float(v)!r}D' for v in vector)})"


def product(a: Column, b: Column) -> Column:
    """Of two arrays, the sum of a x b."""
    return total(F.zip_with(a, b, lambda x, y: x * y))


def squared_distance(a: Column, b: Column) -> Column:
    """Of two arrays, the sum of (a - b) squared."""
    return total(F.zip_with(a, b, lambda x, y: (x - y) * (x - y)))


def total(values: Column) -> Column:
    """The sum of an array."""
    return F.aggregate(values, F.lit(0.0), lambda s, v: s + v)


def once(value: Column, use: Callable[[Column], Column]) -> Column:
    """use(value), the value worked out once a row, however often and wherever it is used."""
    return F.element_at(F.transform(F.array(value), use), 1)
