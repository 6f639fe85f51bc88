"""`lakeloom`: the one command. terminal.py is what the verbs share; a verb with verbs of its own has a file."""

from pipelines.cli.streaming import stream
from pipelines.cli.terminal import guarded
from pipelines.cli.verbs import app, main, run_stages

__all__ = ["app", "guarded", "main", "run_stages", "stream"]
