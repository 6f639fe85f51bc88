"""The spark-submit door: one stage, or a kind of stages: `spark-submit jobs/batch.py STAGE CONF --target T`."""

import argparse
import sys
from pathlib import Path

from pipelines.cli import run_stage


def main() -> None:
    """Run it; exit codes as in pipelines/errors.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", help="such as tables.flights, or all of a kind: tables; or upkeep")
    parser.add_argument("conf", type=Path, help="such as conf/flights.yml")
    parser.add_argument("--target", default="submit", help="a file of conf/targets, without .yml")
    given = parser.parse_args()
    sys.exit(run_stage(given.stage, given.conf, given.target))


if __name__ == "__main__":
    main()
