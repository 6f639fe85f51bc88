"""Connections: servers that a target names, so that a conf need not. A secret stands in the environment alone."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from pipelines.spec.base import Spec

_SECRET = r"^\$\{env:[A-Za-z_][A-Za-z0-9_]*\}$"
_URL = r"^postgresql://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9_-]+$"
_BROKER = r"[A-Za-z0-9.-]+:[0-9]{1,5}"


def _unseen(pattern: str, should: str) -> BeforeValidator:
    """Refuse what does not match without repeating it: it may be a secret."""

    def look(given: object) -> object:
        if isinstance(given, str) and re.fullmatch(pattern, given):
            return given
        raise ValueError(f"should be {should}; what it got is not repeated here")

    return BeforeValidator(look)


Secret = Annotated[
    str,
    _unseen(_SECRET, "${env:NAME}, for a secret stands in the environment and in no file"),
    WithJsonSchema({"type": "string", "pattern": _SECRET, "examples": ["${env:SHOP_PASSWORD}"]}),
]
Url = Annotated[
    str,
    _unseen(_URL, "postgresql://host:port/database, without user, password or options"),
    WithJsonSchema({"type": "string", "pattern": _URL}),
]


class KafkaBrokers(Spec):
    """A Kafka cluster."""

    kind: Literal["kafka"]
    brokers: str = Field(pattern=rf"^{_BROKER}(,{_BROKER})*$", description="host:port, separated by commas")


class Postgres(Spec):
    """A PostgreSQL database, and the names of the environment variables that open it."""

    kind: Literal["postgres"]
    url: Url = Field(description="postgresql://host:port/database")
    user: Secret = Field(description="`${env:NAME}`")
    password: Secret = Field(description="`${env:NAME}`")
    tls: Literal["disable", "prefer", "require", "verify-full"] = Field(
        default="prefer", description="as libpq's sslmode"
    )


Connection = Annotated[KafkaBrokers | Postgres, Field(discriminator="kind")]
