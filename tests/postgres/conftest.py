"""One server for all tests of this folder."""

from collections.abc import Iterator

import pytest

from postgres.server import Database, served


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    """Up once it answers."""
    with served() as server:
        yield server
