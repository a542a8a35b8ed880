"""Fixtures of the tests of many runs: those of the command line."""

from ..cli.conftest import blobs, command

__all__ = ["blobs", "command"]
