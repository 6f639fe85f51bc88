"""What a run is asked to do: which stages, and of some of them more than what is new."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.errors import SpecError


@dataclass(frozen=True)
class FullRefresh:
    """Make it anew from all that its inputs hold; allow_loss: without what they no longer hold."""

    allow_loss: bool = False
    why = "asked for anew"


@dataclass(frozen=True)
class Replay:
    """Judge a table's quarantine again; repaired: the records that stand in place of others, by hash."""

    repaired: Mapping[str, str] = field(default_factory=dict)
    why = "its quarantine is judged again"


@dataclass(frozen=True)
class Restore:
    """Take a table back to what a run published."""

    to: str  # the run's id
    why = "taken back"


@dataclass(frozen=True)
class Promote:
    """Point a model's champion at a version that is registered already."""

    version: int
    who: str
    reason: str = ""
    back: bool = False  # to a former champion

    @property
    def why(self) -> str:
        """In words."""
        return f"rolled back to version {self.version}" if self.back else f"version {self.version} is promoted by hand"


@dataclass(frozen=True)
class Backfill:
    """Make a table's rows whose event_time lies in [since, until) (UTC) anew from what was taken before."""

    since: datetime
    until: datetime
    why = "an interval is made anew"

    def __post_init__(self) -> None:
        if self.since >= self.until:
            raise SpecError(f"nothing lies from {self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}")


@dataclass(frozen=True)
class Forget:
    """Erase a person's rows; tokens: column of the table by which they are found -> token."""

    tokens: Mapping[str, str]
    why = "a person is forgotten"


Ask = FullRefresh | Replay | Restore | Backfill | Promote | Forget


@dataclass(frozen=True)
class Order:
    """Which stages or kinds of stages (none named: all), and what is asked of some, by their ids."""

    select: tuple[str, ...] = ()
    asks: Mapping[str, Ask] = field(default_factory=dict)

    @classmethod
    def of(cls, select: list[str], full_refresh: list[str], allow_loss: Collection[str] = ()) -> "Order":
        """As the command line has it. Errors: SpecError for a loss allowed where nothing is made anew."""
        for stage in allow_loss:
            if stage not in full_refresh:
                raise SpecError(f"--allow-loss {stage}: only what is made anew loses rows; say --full-refresh {stage}")
        return cls(tuple(select), {stage: FullRefresh(stage in allow_loss) for stage in full_refresh})
