"""`python -m pipelines.cli`, for a process of ours that starts another."""

from pipelines.cli import main

main()
