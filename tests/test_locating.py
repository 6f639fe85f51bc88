"""The slice in which a feature moved: where it is far from its own past and the other rows are not."""

import pytest

from pipelines.monitor.bins import Numbers
from pipelines.run.locating import located

pytestmark = pytest.mark.spark

BINS = {"x": Numbers((0.0, 1.0, 2.0, 3.0))}
DDL = "origin string, kind int, x double"


def rows(moved: dict[str | None, float]) -> list[tuple[str | None, int, float]]:
    """Ninety rows of each origin, spread alike over three bins; those of some origins moved up."""
    origins = ("EWR", "JFK", None)
    return [(o, i % 2, min(i % 3 + 0.5 + moved.get(o, 0.0), 2.9)) for o in origins for i in range(90)]


def test_the_slice_that_moved_is_named_with_how_far_the_others_are(frame):
    found = located(frame(rows({}), DDL), frame(rows({"JFK": 2.0}), DDL), BINS, ["origin", "kind"], 30)

    assert found["x"]["slice"] == "origin = JFK"
    assert found["x"]["rows"] == 90
    assert found["x"]["psi"] > 1 > 0.001 > found["x"]["elsewhere"]


def test_rows_without_a_value_are_a_slice_of_their_own(frame):
    found = located(frame(rows({}), DDL), frame(rows({None: 2.0}), DDL), BINS, ["origin"], 30)

    assert found["x"]["slice"] == "origin = missing"


def test_what_moved_everywhere_alike_has_no_slice(frame):
    everywhere = dict.fromkeys(("EWR", "JFK", None), 2.0)

    assert located(frame(rows({}), DDL), frame(rows(everywhere), DDL), BINS, ["origin", "kind"], 30) == {}
    assert located(frame(rows({}), DDL), frame(rows({"JFK": 2.0}), DDL), BINS, ["origin"], 91) == {}  # too few rows
