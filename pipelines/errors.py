"""Every deliberate failure, as one tree; its class says who must act and sets the exit code.

LakeloomError
├── PlatformError   the machine: Java, jars, disk, a server    exit 1
├── SpecError       the person who wrote the conf              exit 2
├── DataError       the data or the model, refused by a gate   exit 3
└── ConflictError   another writer was faster; run again       exit 4

Anything else that escapes is our bug: it keeps its traceback and exits 70.
A message is one sentence: where, what, what it got, what it could have been.
"""


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


class ConflictError(LakeloomError):
    """Another writer committed first; the same command again is safe."""

    exit_code = 4
