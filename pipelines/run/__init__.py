"""One small file a stage kind: opens, calls, writes, records. Here the siblings meet.

Importing this package imports no engine: `plan` and Airflow ask `waiting`
without one, and each stage kind is imported when it first runs.
"""
