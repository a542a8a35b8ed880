"""What a peer is."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, ClassVar


class Peer:
    """One way to do a piece of work. Subclasses take (work, threads) and have the method named by `timed`."""

    name: ClassVar[str]
    timed: ClassVar[str]
    module: ClassVar[str]  # what must be installed
    beside: ClassVar[tuple[str, ...]] = ()  # and what else
    distribution: ClassVar[str]  # what that is called where it is installed from
    share: ClassVar[float] = 1.0  # of the whole work that one call does; times are those of the whole

    @classmethod
    def available(cls) -> bool:
        """Tell whether what the peer needs is installed, without importing it."""
        return all(find_spec(module) is not None for module in (cls.module, *cls.beside))

    @classmethod
    def refusal(cls, work: Any) -> str:
        """Return why the peer cannot do this work, or nothing where it can."""
        return ""

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


def able(peers: Sequence[type[Peer]], work: object) -> tuple[list[type[Peer]], dict[str, str]]:
    """Return those of the peers that can do the work, and for the others, by name, why they cannot."""
    refusals = {peer: peer.refusal(work) for peer in peers}
    return [peer for peer in peers if not refusals[peer]], {peer.name: why for peer, why in refusals.items() if why}
