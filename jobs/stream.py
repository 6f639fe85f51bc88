"""The spark-submit door of a loop of scores: `spark-submit jobs/stream.py NAME CONF --target T`; SIGTERM ends it."""

import argparse
import sys
from pathlib import Path

from pipelines.cli import stream


def main() -> None:
    """Score until SIGTERM; exit codes as in pipelines/errors.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="one of the conf's scores, such as late_arrival_live")
    parser.add_argument("conf", type=Path, help="such as conf/flights.yml")
    parser.add_argument("--target", default="submit", help="a file of conf/targets, without .yml")
    parser.add_argument("--metrics-port", type=int, default=None, help="where Prometheus reads, on loopback")
    given = parser.parse_args()
    sys.exit(stream(given.name, given.conf, given.target, given.metrics_port))


if __name__ == "__main__":
    main()
