"""The interface of a peer, an implementation that is measured, and which peers can do a workload."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, ClassVar


class Peer:
    """One implementation of a workload. Subclasses take (work, threads) and have the method that `timed` names."""

    name: ClassVar[str]
    timed: ClassVar[str]
    module: ClassVar[str]  # that must be installed
    also_requires: ClassVar[tuple[str, ...]] = ()  # further modules that must be
    distribution: ClassVar[str]  # the package that `module` is installed from
    long: ClassVar[bool] = False  # whether a turn is one call, not warmed up by another one before

    @classmethod
    def available(cls) -> bool:
        """Return whether the modules are installed, without importing them."""
        return all(find_spec(module) is not None for module in (cls.module, *cls.also_requires))

    @classmethod
    def unsupported(cls, work: Any) -> str:
        """Return why the peer cannot do this workload; empty if it can."""
        return ""

    @classmethod
    def fraction(cls, work: Any) -> float:
        """Return the fraction of the workload that one call does; reported times are those of the whole."""
        return 1.0

    @classmethod
    def same_network(cls, work: Any) -> bool:
        """Return whether the peer trains the weights of the workload and no others, so that its results compare."""
        return True

    @classmethod
    def version(cls) -> str:
        """Return the name and version of the package."""
        try:
            return f"{cls.distribution} {version(cls.distribution)}"
        except PackageNotFoundError:
            return cls.distribution


def installed(peers: Sequence[type[Peer]]) -> list[type[Peer]]:
    """Return the peers that are available, and print the names of the others."""
    absent = [peer.name for peer in peers if not peer.available()]
    if absent:
        print(f"not installed, left out: {', '.join(absent)}")
    return [peer for peer in peers if peer.available()]


def supported(peers: Sequence[type[Peer]], work: object) -> tuple[list[type[Peer]], dict[str, str]]:
    """Return the peers that can do the workload, and the reason for each of the others by its name."""
    reasons = {peer: peer.unsupported(work) for peer in peers}
    return [peer for peer in peers if not reasons[peer]], {peer.name: why for peer, why in reasons.items() if why}
