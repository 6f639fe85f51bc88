"""Sources, one module a kind: what is new (no JVM), what a batch takes (for the intent), and how Spark reads it.

base.py   what each kind answers
files.py  files in a folder: by content; counted by a census
kafka.py  a topic: by offsets; counted by them, and by a consumer where they have gaps
jdbc.py   a table of a database: by a column that rises; counted by the database in the snapshot that is read
delta.py  a Delta table of others: by versions; counted by its log
"""

from pipelines.intake import delta, files, jdbc, kafka
from pipelines.intake.base import Asked, Counted, Kind, Reading, brought, counted, keyed

KINDS: dict[str, Kind] = {"files": files, "kafka": kafka, "jdbc": jdbc, "delta": delta}

__all__ = ["KINDS", "Asked", "Counted", "Kind", "Reading", "brought", "counted", "keyed"]
