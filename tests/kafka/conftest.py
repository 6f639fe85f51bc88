"""The broker of these tests, started once."""

from collections.abc import Iterator

import pytest

from kafka.broker import Broker, running


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real one on loopback."""
    with running(tmp_path_factory.mktemp("kafka")) as made:
        yield made
