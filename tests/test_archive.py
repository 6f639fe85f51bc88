"""The class archive that scripts/bootstrap makes is one that a session's JVM takes: without it nothing would fail."""

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.spark

OF_JAVA = Path(os.environ["JAVA_HOME"]) / "lib" / "server" / "classes.jsa"  # on which ours stands


@pytest.mark.skipif(not OF_JAVA.exists(), reason="this Java has no archive of its own classes")
def test_the_jvm_of_a_session_maps_the_archive(spark):
    maps = Path(f"/proc/{spark.sparkContext._gateway.proc.pid}/maps").read_text()

    assert "/classes-" in maps
