"""What lies in the registry, read without Spark: versions, their evidence, two of them side by side.

A version is named as `late_arrival@3` or `late_arrival@champion`; where the conf
has one model, `@3` will do, and without a name the champion is meant.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from pipelines import aliases, keyed, traffic
from pipelines.deferring import warehouse_of
from pipelines.errors import DataError, SpecError
from pipelines.keyed import Held
from pipelines.onnx import Graph
from pipelines.registry import CHAMPION, CUTOFF, Registry, Version
from pipelines.shadows import apart
from pipelines.signature import Signature
from pipelines.spec import Pipeline, Target
from pipelines.state import PROMOTE, History, Record, Warehouse, dataset

Json = dict[str, Any]
MADE_WITH = ("code", "packages", "seed", "definition", "now")  # tags that a person may want to see


def named(pipeline: Pipeline, asked: str) -> tuple[str, str]:
    """'late@3' -> ('late', '3'); ('late', '') where no version is named. Errors: SpecError for no such model."""
    model, _, which = asked.partition("@")
    if not model and len(pipeline.models) == 1:
        model = next(iter(pipeline.models))
    if model not in pipeline.models:
        there = ", ".join(pipeline.models) or "none"
        raise SpecError(f"no model '{model}'; there is {there}" if model else f"which model? there is {there}")
    return model, which


@dataclass(frozen=True)
class Shelf:
    """The versions of one model of a pipeline."""

    pipeline: Pipeline
    target: Target
    model: str

    @cached_property
    def registry(self) -> Registry:
        """MLflow, asked once whether it answers."""
        return Registry(self.target)

    @property
    def name(self) -> str:
        """As the registry has it."""
        return self.target.registered(self.pipeline.pipeline, self.model)

    def version(self, which: str) -> Version:
        """By number or alias; the champion where none is named. Errors: SpecError, DataError where there is none."""
        if not which and not self.registry.champion(self.name):
            raise DataError(f"{self.model} has no champion: no candidate has passed its gates yet")
        return self.registry.version(self.name, which or CHAMPION)

    def lines(self) -> list[Json]:
        """Every version, newest first. Cost: reads a small file of each."""
        held = self.registry.aliases(self.name)
        return [self._line(v, self.registry.detail(v), held) for v in self.registry.versions(self.name)]

    def shown(self, which: str) -> Json:
        """One version with its evidence, what it was made of and with, and its files as they are now.

        Errors: as `version`; DataError where a file was changed.
        """
        version = self.version(which)
        detail = self.registry.detail(version)
        return {
            **self._line(version, detail, self.registry.aliases(self.name)),
            "made_with": {k: version.tags.get(f"lakeloom.{k}", "") for k in MADE_WITH},
            "files": self.registry.files(version),
            "sha256": version.logged.manifest,
            "moves": [asdict(m) for m in aliases.moves(self._records) if m.version == version.number],
            "detail": detail,
        }

    def conf(self, which: str) -> Json:
        """The model as a conf that makes this version again, its winner the one candidate."""
        version = self.version(which)
        found = self.registry.kept(version.run_id, "conf")
        if found is None:
            raise DataError(f"{self.name}@{version.number}: it was trained before confs were kept beside models")
        return found

    def exported(self, which: str) -> tuple[bytes, Json]:
        """The certified graph of a version, and what is said of it where it is served.

        Errors: as `version`; DataError where it has no graph, or that was changed.
        """
        version = self.version(which)
        content, told = self.registry.graph(version), self.registry.detail(version).get("onnx") or {}
        if content is None:
            why = told.get("why") or "it was trained before graphs were kept; train it anew: --full-refresh"
            raise DataError(f"{self.name}@{version.number} has no ONNX graph: {why}")
        rows = (self.registry.kept(version.run_id, "example") or {}).get("rows", ())
        return content, {
            "model": self.name,
            "version": version.number,
            "trained": version.created.isoformat(timespec="seconds"),
            "cutoff": version.tags.get(CUTOFF, ""),
            "certificate": told,
            "keys": list(self.pipeline.features[self.pipeline.models[self.model].features].keys),
            "rows": [json.loads(row) for row in rows],
        }

    def keyed(self, which: str, file: Path) -> Json:
        """Write the newest published features of each key; which they are. Cost: reads the table's columns.

        file: keyed.FILE, or remote.FILE, where they go to Redis and it says under which name. Errors: as `version`;
        DataError where none were published.
        """
        feature = self.pipeline.features[self.pipeline.models[self.model].features]
        stage = f"features.{self.pipeline.models[self.model].features}"
        published = History.of(self._warehouse).published(stage)
        if published is None:
            raise DataError(f"{stage}: nothing was published yet; `lakeloom run` makes it")
        reads = [f.name for f in Signature.said_by(Graph.opened(self.exported(which)[0]).said).features]
        columns = list(dict.fromkeys([*feature.keys, feature.as_of_time, *reads]))
        table = self._warehouse.delta(stage)
        assert table, "is published"
        table.load_as_version(published)
        batches = dataset(table).to_batches(columns=columns)
        rows = (row for batch in batches for row in batch.to_pylist())
        held = ((row, Held(_plain(row[feature.as_of_time]), {n: _plain(row[n]) for n in reads})) for row in rows)
        said = {"keys": list(feature.keys), "version": published}
        if file.name == keyed.FILE:
            return {**said, "held": keyed.write(file, feature.keys, held)}
        from pipelines import remote

        number = self.version(which).number
        told, count = remote.write(f"{self.name}@{number}", published, feature.keys, held)
        file.write_text(json.dumps(told), encoding="utf-8")
        return {**said, "held": count}

    def compared(self, one: str, other: str, log: Path | None = None) -> Json:
        """Two versions side by side; figures are of the same rows only where `same_rows` says so.

        log: folder of an endpoint's sample of requests, that both answered.
        """
        versions = [self.version(which) for which in (one, other)]
        numbers = versions[0].number, versions[1].number
        details = [self.registry.detail(v) for v in versions]
        tested = [d.get("tested") for d in details]
        held = self.registry.aliases(self.name)
        both = [m for m in details[0].get("test", {}) if m in details[1].get("test", {})]
        return {
            "versions": [self._line(v, d, held) for v, d in zip(versions, details, strict=True)],
            "same_rows": tested[0] is not None and tested[0] == tested[1],
            "metrics": {m: [d["test"][m] for d in details] for m in both},
            "shadow": self._shadows(numbers),
            **({"asked": traffic.beside(log, self.name, numbers)} if log else {}),
        }

    def _shadows(self, versions: tuple[int, int]) -> list[Json]:
        """Of each of the model's scores with a shadow, what both versions answered."""
        names = [name for name, score in self.pipeline.scores.items() if score.model == self.model and score.shadow]
        found = (apart(self._warehouse, self.pipeline, name, versions) for name in names)
        return [each for each in found if each]

    def former(self) -> int | None:
        """The champion to roll back to; None where there is none; the present one if it is a rollback's already."""
        now = self.registry.champion(self.name)
        return aliases.former(aliases.moves(self._records), now.number) if now else None

    def begun(self) -> Json | None:
        """The move of the alias that was cut off, if one was: the next run finishes it."""
        intent = History.of(self._warehouse).open_intent(f"models.{self.model}")
        return intent.inputs.get(PROMOTE) if intent else None

    @property
    def _warehouse(self) -> Warehouse:
        return warehouse_of(self.pipeline, self.target)

    def _gates(self, version: Version, detail: Json) -> list[Json]:
        """As its training recorded them: what ran after it was registered stands there alone."""
        mine = [
            r.detail for r in self._records if r.detail.get("version") == version.number and "moved" not in r.detail
        ]
        found: list[Json] = (mine[-1] if mine else detail).get("gates", [])
        return found

    @cached_property
    def _records(self) -> Sequence[Record]:
        return [r for r in self._warehouse.records() if r.stage == f"models.{self.model}"]

    def _line(self, version: Version, detail: Json, held: Mapping[str, int]) -> Json:
        inputs = json.loads(version.tags.get("lakeloom.inputs", "{}"))
        return {
            "model": self.model,
            "version": version.number,
            "aliases": sorted(a for a, n in held.items() if n == version.number),
            "at": version.created.isoformat(timespec="seconds"),
            "kind": detail.get("winner", ""),
            "params": next((t["params"] for t in detail.get("candidates", ())), {}),  # the best stands first
            "metric": detail.get("metric", ""),
            "test": detail.get("test", {}),
            "gates": self._gates(version, detail),
            "splits": detail.get("splits", {}),
            "cutoff": detail.get("cutoff", ""),
            "reads": {stage: read["upto"] for stage, read in inputs.items()},
            "run_id": version.run_id,
        }


def _plain(value: Any) -> Any:
    """As JSON holds it; what is no finite number is missing."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value  # a moment is a date, too


def closed(detail: Mapping[str, Any]) -> list[str]:
    """The gates that refused a version, in words."""
    return [f"{g['gate']}: {g['why']}" for g in detail.get("gates", ()) if not g["passed"]]
