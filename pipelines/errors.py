"""Every deliberate failure, as one tree; its class says who must act and sets the exit code.

LakeloomError
├── PlatformError   the machine: Java, jars, disk, a server    exit 1
├── SpecError       the person who wrote the conf              exit 2
├── DataError       the data or the model, refused by a gate   exit 3
│   └── FilesError  files that cannot be taken, each with its reason
└── ConflictError   another writer was faster; run again       exit 4

Anything else that escapes is our bug: it keeps its traceback and exits 70.
A message is one sentence: where, what, what it got, what it could have been.
"""

from collections.abc import Mapping


class LakeloomError(Exception):
    """Base of all; `exit_code` is what the process ends with."""

    exit_code = 70


class PlatformError(LakeloomError):
    """The machine lacks something; the message says what to type."""

    exit_code = 1


class SpecError(LakeloomError):
    """The conf or the command line asks for what cannot be."""

    exit_code = 2


class DataError(LakeloomError):
    """Data or a model was refused; nothing of the failing stage is published."""

    exit_code = 3


class FilesError(DataError):
    """Files of one arrival that cannot be taken, path -> why; the sentence names the first."""

    def __init__(self, files: Mapping[str, str]) -> None:
        (path, why), *others = files.items()
        more = f" (and {len(others)} more file{'s'[: len(others) - 1]}, which `lakeloom show` lists)" if others else ""
        super().__init__(f"{path}: {why}{more}")
        self.files = dict(files)


class ConflictError(LakeloomError):
    """Another writer committed first; the same command again is safe."""

    exit_code = 4
