"""The spark-submit door: some stages in one session: `spark-submit jobs/batch.py STAGE... CONF --target T`."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from pipelines.cli import run_stages


def main() -> None:
    """Run them; exit codes as in pipelines/errors.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="+", help="such as tables.flights, or all of a kind: tables; or upkeep")
    parser.add_argument("conf", type=Path, help="such as conf/flights.yml")
    parser.add_argument("--target", default="submit", help="a file of conf/targets, without .yml")
    parser.add_argument("--full-refresh", action="append", default=[], help="a stage to make anew")
    parser.add_argument("--between", nargs=2, type=_moment, default=(), help="make tables anew in this interval alone")
    parser.add_argument(
        "--promote", nargs=2, metavar=("MODEL@VERSION", "WHO"), help="by whose word it becomes champion"
    )
    given = parser.parse_args()
    asked = {"anew": given.full_refresh, "between": given.between, "promote": given.promote or ()}
    sys.exit(run_stages(given.stages, given.conf, given.target, **asked))


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


if __name__ == "__main__":
    main()
