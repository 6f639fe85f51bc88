"""Where a URI lies, for pyarrow: Spark's names of a store beside its own."""

import re

import pyarrow.fs as pafs

SPARKS = re.compile(r"^s3[an]://")


def at(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI or a path, and the place in it. Credentials come from the environment: AWS_* for S3.

    Errors: pyarrow's, of a scheme that it does not know.
    """
    system, place = pafs.FileSystem.from_uri(SPARKS.sub("s3://", uri))
    return system, place
