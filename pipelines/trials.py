"""The finished trials of a search, kept where the run after a kill finds them: a JSON file each, under the batch.

A file is written whole or not at all. It says what was tried and what came of
it; the fitted model is not kept, for a fit can be repeated.
"""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow.fs as pafs

from pipelines import crash, where
from pipelines.state import Intent, Warehouse


@dataclass(frozen=True)
class Kept:
    """The folder of one batch's trials."""

    path: str
    stage: str

    @classmethod
    def of(cls, warehouse: Warehouse, intent: Intent) -> "Kept":
        """Beside the warehouse's intents, by stage, generation and batch."""
        root = f"{warehouse.root}/{warehouse.pipeline}/_trials/{intent.stage}"
        return cls(f"{root}/{intent.generation}.{intent.batch}", intent.stage)

    def find(self, name: str) -> dict[str, Any] | None:
        """What was kept under a name; None where nothing was."""
        system, place = self._at(name)
        if system.get_file_info(place).type != pafs.FileType.File:
            return None
        with system.open_input_stream(place) as stream:
            found: dict[str, Any] = json.loads(stream.read())
        return found

    def keep(self, name: str, value: dict[str, Any]) -> None:
        """Write a value under a name."""
        system, place = self._at(name)
        system.create_dir(place.rpartition("/")[0], recursive=True)
        with system.open_output_stream(f"{place}.tmp") as stream:
            stream.write(json.dumps(value).encode())
        system.move(f"{place}.tmp", place)
        crash.point("between trials", self.stage)

    def clear(self) -> None:
        """Forget them: the run record has what they said."""
        system, place = where.at(self.path)
        if system.get_file_info(place).type == pafs.FileType.Directory:
            system.delete_dir(place)

    def _at(self, name: str) -> tuple[pafs.FileSystem, str]:
        system, place = where.at(f"{self.path}/{name}.json")
        return system, place
