"""What a model was made with: the code of this package and the packages around it, each as a short hash."""

from functools import cache
from hashlib import sha256
from importlib.metadata import distributions, version

from pipelines import extensions

LETTERS = 12  # of a hash


@cache
def code(own: tuple[str, ...] = ()) -> str:
    """'0.1.0+3f2a...': the release, and a hash of the package's sources, for a checkout need not be a release.

    own: modules of a team's own that took part.
    """
    sources = extensions.sources("pipelines")
    whole = "".join(f"{path} {sha256(text).hexdigest()}\n" for path, text in sources)
    whole += "".join(f"{name} {hashed}\n" for name, hashed in extensions.code(own).items())
    return f"{version('lakeloom')}+{_hash(whole)}"


@cache
def packages() -> str:
    """A hash of every installed package with its version: what `uv.lock` came to on this machine."""
    found = {f"{d.metadata['Name'].lower()}=={d.version}" for d in distributions() if d.metadata["Name"]}
    return _hash("\n".join(sorted(found)))


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:LETTERS]
