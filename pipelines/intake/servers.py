"""Connections of a target, opened: what is missing on the way there is one sentence, and no secret is in it."""

import os
from typing import TypeVar

from pipelines.errors import PlatformError, SpecError
from pipelines.intake.base import Asked

C = TypeVar("C")
WAIT_S = 15  # for a server to answer


def connection(asked: Asked, name: str, kind: type[C]) -> C:
    """The target's connection of this name and kind. Errors: SpecError."""
    known = asked.target.connections
    found = known.get(name)
    if found is None:
        there = f"there is {', '.join(sorted(known))}" if known else "it has none"
        raise SpecError(f"sources.{asked.name}: the target has no connection '{name}'; {there}")
    if not isinstance(found, kind):
        raise SpecError(
            f"sources.{asked.name}: the target's connection '{name}' is of kind {found.kind}, "
            f"which kind: {asked.source.kind} cannot read"
        )
    return found


def secret(connection: str, reference: str) -> str:
    """What '${env:NAME}' stands for. Errors: PlatformError where the environment has not got it."""
    name = reference.removeprefix("${env:").removesuffix("}")
    if not os.environ.get(name):
        raise PlatformError(f"connection {connection}: there is no environment variable {name}; export {name}=...")
    return os.environ[name]


def missing(extra: str, library: str) -> PlatformError:
    """The client library of a kind is not installed."""
    return PlatformError(
        f"sources of this kind need {library}, which is not installed; type: pip install 'lakeloom[{extra}]', "
        f"or in a checkout: scripts/bootstrap demo {extra}"
    )
