"""Events to where the target wants them: a file of JSON lines, or a server by HTTP. A run never fails for it."""

import json
import os
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.spec import LineageFile, LineageHttp, Target

WAIT_S = 5  # for a server to answer; a run waits for it


def send(target: Target, events: Sequence[Any]) -> str:
    """Why they could not be sent, in words; '' where they were, or where the target asks for none."""
    try:
        if isinstance(target.lineage, LineageFile):
            _append(Path(target.lineage.path), events)
        elif isinstance(target.lineage, LineageHttp):
            for event in events:
                _post(target.lineage, event)
    except (OSError, ValueError) as found:
        return f"lineage was not sent: {type(found).__name__}: {found}"
    return ""


def _append(file: Path, events: Sequence[Any]) -> None:
    """One write, so that lines of two processes do not mix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write("".join(f"{json.dumps(event)}\n" for event in events))


def _post(place: LineageHttp, event: Any) -> None:
    token = os.environ.get(place.variable, "") if place.token else ""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    asked = urllib.request.Request(place.url, json.dumps(event).encode(), headers, method="POST")
    with urllib.request.urlopen(asked, timeout=WAIT_S) as answer:
        answer.read()
