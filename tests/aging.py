"""Tables that look as if they had been written long ago, for what goes by age: retention, VACUUM."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

DAY_MS = 86_400_000


def aged(path: Path, days: list[int]) -> None:
    """Make it look as if version n had been committed so many days ago: log, files, and their times."""
    for version, ago in enumerate(days):
        log = path / "_delta_log" / f"{version:020}.json"
        stamp = r'"(timestamp|inCommitTimestamp|deletionTimestamp|modificationTime)":(\d+)'
        log.write_text(re.sub(stamp, lambda m, ago=ago: f'"{m[1]}":{int(m[2]) - ago * DAY_MS}', log.read_text()))
        for file in re.findall(r'"add":\{"path":"([^"]+)"', log.read_text()):
            then = (datetime.now(UTC) - timedelta(days=ago)).timestamp()
            os.utime(path / file, (then, then))
    for crc in path.rglob("*.crc"):
        crc.unlink()
