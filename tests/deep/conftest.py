"""Nets: these tests run in .venv-deep, where torch is; elsewhere none of them is collected."""

from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies here is marked so."""
    for item in items:
        if item.path.parent.name == "deep":
            item.add_marker("deep")
