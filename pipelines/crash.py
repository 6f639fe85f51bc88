"""Named crash points: places at which a test may kill the process, to prove that a re-run makes it good.

Off unless LAKELOOM_CRASH_AT names a point; then the whole process group dies by
SIGKILL there, as a power cut would do it: Python, JVM and workers at once.
LAKELOOM_STOP_AT stops it by SIGSTOP, as a machine that hangs, until it is sent
SIGCONT. To add a point, name it here and call `point` where it stands.
"""

import os
import signal

VARIABLE, STOP = "LAKELOOM_CRASH_AT", "LAKELOOM_STOP_AT"
SIGNALS = {VARIABLE: signal.SIGKILL, STOP: signal.SIGSTOP}
POINTS = (  # in the order in which a run comes by
    "after the lock",
    "after the intent",
    "before the batch is whole",
    "before the clean commit",
    "between columns and rows",
    "between clean and deleted",
    "between clean and quarantine",
    "before judging",
    "between results and publication",
    "between trials",
    "after the model is logged",
    "before the alias moves",
    "between scores and their progress",
    "before the run record",
    "after the run record",
    "between the parts of a restore",
    "between the parts of an erasure",
    "between compaction and vacuum",
    "between tables",
)


def point(name: str, where: str) -> None:
    """Die or stop here if a variable says `name`, or 'name @ where' (a stage, or a table's path); else nothing."""
    assert name in POINTS, name
    for variable, sent in SIGNALS.items():
        if os.environ.get(variable) in (name, f"{name} @ {where}"):
            os.killpg(os.getpgrp(), sent)
