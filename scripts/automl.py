"""The same conf, whose models choose for themselves: `candidates: auto`, searched for some minutes.

    python scripts/automl.py conf/flights.yml conf/flights_auto.yml --minutes 3

Names, tables and features stay: a run of the new conf makes a new version of the same models, and the gates decide.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

TRIALS, HALVING = 30, 3


def searching(conf: Path, to: Path, minutes: float) -> None:
    """Write the conf with every model searched; all else stays as it is written."""
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4_096
    yaml.indent(mapping=2, sequence=4, offset=2)
    said = yaml.load(conf.read_text(encoding="utf-8"))
    for model in said["models"].values():
        model["candidates"] = "auto"
        search = {"trials": TRIALS, "budget_minutes": minutes, "halving": HALVING}
        model["search"] = {**model.get("search", {}), **search}
    with to.open("w", encoding="utf-8") as out:
        yaml.dump(said, out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("conf", type=Path)
    parser.add_argument("to", type=Path)
    parser.add_argument("--minutes", type=float, default=3)
    asked = parser.parse_args(arguments)
    searching(asked.conf, asked.to, asked.minutes)


if __name__ == "__main__":
    main()
