"""Where a URI lies, as Spark and as pyarrow call it."""

import pyarrow.fs as pafs
import pytest

from pipelines import where


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n"])
def test_a_store_has_sparks_names_too(scheme):
    system, place = where.at(f"{scheme}://lake/s3a://odd?region=eu-west-1")

    assert (system.type_name, system.region, place) == ("s3", "eu-west-1", "lake/s3a://odd")


def test_a_path_is_local(tmp_path):
    assert where.at(f"{tmp_path}") == where.at(f"file://{tmp_path}") == (pafs.LocalFileSystem(), str(tmp_path))
