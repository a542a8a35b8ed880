"""What a peer is."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import ClassVar


class Peer:
    """One way to do a piece of work. Subclasses take (work, threads) and have the method named by `timed`."""

    name: ClassVar[str]
    timed: ClassVar[str]
    module: ClassVar[str]  # what must be installed
    distribution: ClassVar[str]  # what that is called where it is installed from

    @classmethod
    def available(cls) -> bool:
        """Tell whether what the peer needs is installed, without importing it."""
        return find_spec(cls.module) is not None

    @classmethod
    def version(cls) -> str:
        """Return the name and version of what the peer runs on."""
        try:
            return f"{cls.distribution} {version(cls.distribution)}"
        except PackageNotFoundError:
            return cls.distribution


def installed(peers: Sequence[type[Peer]]) -> list[type[Peer]]:
    """Return those of the peers that are available, and name the others on standard output."""
    absent = [peer.name for peer in peers if not peer.available()]
    if absent:
        print(f"not installed, left out: {', '.join(absent)}")
    return [peer for peer in peers if peer.available()]
