"""What is alerted of a run record, in words, and how it is sent: a POST of `{"text": ...}`, as Slack's webhooks take.

An alert is known by what it says of which stage: a refusal by its sentence, a decision by its verdict, the window that
it stands on and the promises that are broken more often. The same is said once, however often it is found; figures
that move a little make no new alert.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pipelines.spec import Alerts

if TYPE_CHECKING:
    from pipelines.state import Record

WAIT_S = 5  # for a server to answer; a run waits for it
HEADER = "X-Lakeloom-Alert"  # the id, by which a receiver knows one that comes again after a crash
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})  # Slack's only three


@dataclass(frozen=True)
class Said:
    """One alert: what it is known by, and its text."""

    id: str
    text: str


def said(record: "Record", asked: Alerts) -> Said | None:
    """The alert that the newest record of a stage calls for; None for none."""
    if record.status == "refused":
        return _said(record, "refused", record.error, record.error) if "refused" in asked.on else None
    decision = record.detail.get("decision") if record.stage.startswith("monitors.") else None
    if record.status != "ok" or not decision or decision["verdict"] not in asked.on:
        return None
    why = "\n".join([*decision["reasons"], *decision.get("causes", ())])
    return _said(record, decision["verdict"], _known_by(decision), why)


def _known_by(decision: Mapping[str, Any]) -> str:
    """The window that it stands on; where promises are broken, those too, once for each window that they are in."""
    broken = sorted(f"{b['window']}: {b['stage']}: {b['promise']}" for b in decision.get("broken", ()))
    return "\n".join([decision["window"], *broken]) if broken else decision["reasons"][0].partition(":")[0]


def _said(record: "Record", event: str, known_by: str, why: str) -> Said:
    at = (record.pipeline, record.stage, str(record.generation), event, known_by)
    text = f"{record.pipeline}: {record.stage}: {event}\n{why}\nrun {record.run_id}"
    return Said(sha256("\n".join(at).encode()).hexdigest()[:16], text)


def send(asked: Alerts, alert: Said) -> str:
    """Why it could not be sent, without the address; '' where it was."""
    url = os.environ.get(asked.variable, "")
    if not url.startswith(("http://", "https://")):
        return f"an alert was not sent: the environment variable {asked.variable} holds no address"
    body = json.dumps({"text": alert.text.translate(_ESCAPES)}).encode()
    try:
        headers = {"Content-Type": "application/json", HEADER: alert.id}
        with urllib.request.urlopen(
            urllib.request.Request(url, body, headers, method="POST"), timeout=WAIT_S
        ) as answer:
            answer.read()
    except (OSError, ValueError) as found:
        return f"an alert was not sent, and will be by the next run: {type(found).__name__}{_status(found)}"
    return ""


def _status(found: Exception) -> str:
    return f" {found.code}" if isinstance(found, urllib.error.HTTPError) else ""
