"""What the driver asks of ranks, and what they say, as files in a folder that all of them see.

A rank writes where it is (`rank-0.json`, every few seconds), why it broke off (`error-0.json`), and
rank 0 the trained weights (`weights`) and then `done.json`, which
has their hash; a file is written whole or not at all. So a training is over when `done.json`
is there, whatever its launcher made of it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.fs as pafs

from pipelines import where
from pipelines.deep.design import Design
from pipelines.deep.loader import Deck
from pipelines.spec.candidate import ImageNet, TabularNet, Trained

Json = dict[str, Any]
SPECS: dict[str, type[Trained]] = {kind.named(): kind for kind in (TabularNet, ImageNet)}
WEIGHTS, DONE = "weights", "done.json"


@dataclass(frozen=True)
class Job:
    """Rows, a net, how it is trained, and where to say what came of it."""

    deck: Deck
    design: Design
    spec: Trained
    seed: int
    folder: str
    extensions: tuple[str, ...] = ()  # modules that hold nets of a team's own
    pretrained: str = ""  # SHA-256 of the weights to begin with, which lie in the folder

    def text(self) -> str:
        """To be sent to ranks."""
        parts = {
            "deck": self.deck.as_json(),
            "design": self.design.as_json(),
            "spec": self.spec.model_dump(mode="json"),
        }
        plain = {"seed": self.seed, "folder": self.folder, "pretrained": self.pretrained}
        return json.dumps({**parts, **plain, "extensions": self.extensions})

    @classmethod
    def of(cls, text: str) -> "Job":
        """What was sent."""
        told = json.loads(text)
        spec = SPECS[told["spec"]["kind"]].model_validate({k: v for k, v in told["spec"].items() if k != "ranges"})
        deck, design, extensions = Deck.of(told["deck"]), Design.of(told["design"]), tuple(told["extensions"])
        return cls(deck, design, spec, told["seed"], told["folder"], extensions, told["pretrained"])

    def batch(self, world: int) -> int:
        """Rows of a step of one rank, at most: a step of all has `spec.batch`."""
        return -(-self.spec.batch // world)


@dataclass(frozen=True)
class Folder:
    """A folder by its path or URI."""

    path: str

    def write(self, name: str, content: bytes) -> None:
        """A file, whole or not at all."""
        system, place = self._at(name)
        system.create_dir(place.rpartition("/")[0], recursive=True)
        with system.open_output_stream(f"{place}.tmp") as stream:
            stream.write(content)
        system.move(f"{place}.tmp", place)

    def read(self, name: str) -> bytes | None:
        """A file; None where there is none."""
        system, place = self._at(name)
        if system.get_file_info(place).type != pafs.FileType.File:
            return None
        with system.open_input_stream(place) as stream:
            content: bytes = stream.read()
        return content

    def say(self, name: str, value: Mapping[str, Any]) -> None:
        """A file of JSON."""
        self.write(name, json.dumps(value).encode())

    def said(self, name: str) -> Json | None:
        """What a file of JSON says."""
        content = self.read(name)
        found: Json | None = json.loads(content) if content else None
        return found

    def names(self, begin: str) -> Iterator[str]:
        """Files directly in it that begin so, in order; none where there is no folder."""
        system, place = where.at(self.path)
        files = system.get_file_info(pafs.FileSelector(place, allow_not_found=True))
        yield from sorted(
            f.base_name for f in files if f.base_name.startswith(begin) and not f.base_name.endswith(".tmp")
        )

    def remove(self, name: str = "") -> None:
        """A file or a folder in it, or all of it, where it is there."""
        system, place = self._at(name) if name else where.at(self.path)
        kind = system.get_file_info(place).type
        if kind == pafs.FileType.Directory:
            system.delete_dir(place)
        elif kind == pafs.FileType.File:
            system.delete_file(place)

    def _at(self, name: str) -> tuple[pafs.FileSystem, str]:
        system, place = where.at(f"{self.path}/{name}")
        return system, place


def finished(folder: Folder) -> tuple[Json, bytes] | None:
    """What a training came to, and its weights; None where it is not over, or a file is not what it was."""
    done, weights = folder.said(DONE), folder.read(WEIGHTS)
    if done is None or weights is None or hashlib.sha256(weights).hexdigest() != done["sha256"]:
        return None
    return done, weights


def finish(folder: Folder, weights: bytes, told: Json) -> None:
    """Write the weights, then what is said of them: with it the training is over."""
    folder.write(WEIGHTS, weights)
    folder.say(DONE, {**told, "sha256": hashlib.sha256(weights).hexdigest()})
