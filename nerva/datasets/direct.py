"""Reads of files that are larger than the system's cache, past it: what it read it would have to drop again at once."""

from __future__ import annotations

import mmap
import os
import threading
import weakref

BLOCK = 4096  # bytes that such a read begins and ends at multiples of
# Bytes from which a file is read so. The system keeps pages of smaller ones, which the next epoch reads from memory.
LEAST = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


class DirectFile:
    """A file that is read past the system's cache; OSError where its file system has no such reads."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        weakref.finalize(self, os.close, self._descriptor)
        self._lock = threading.Lock()
        self._memory = mmap.mmap(-1, BLOCK)  # whole pages, as such reads want them
        self.read_into(memoryview(bytearray(1)), 0)  # some file systems refuse the read, not the opening

    def read_into(self, out: memoryview, offset: int) -> int:
        """Read bytes from an offset on into `out`; return how many there were, fewer only at the end of the file."""
        begin, end = offset // BLOCK * BLOCK, -(-(offset + out.nbytes) // BLOCK) * BLOCK
        wanted, found = offset - begin + out.nbytes, 0
        with self._lock:
            if len(self._memory) < end - begin:
                self._memory = mmap.mmap(-1, end - begin)
            with memoryview(self._memory) as memory:
                while found < wanted:
                    count = os.preadv(self._descriptor, [memory[found : end - begin]], begin + found)
                    found += count
                    if count == 0 or found % BLOCK:  # the end of the file
                        break
                there = max(min(found, wanted) - (offset - begin), 0)
                out[:there] = memory[offset - begin : offset - begin + there]
        return there


def open_direct(path: str | os.PathLike[str], size: int) -> DirectFile | None:
    """Return a file of so many bytes to be read past the cache; None where that is slower, or cannot be."""
    if size < LEAST:
        return None
    try:
        return DirectFile(path)
    except OSError:
        return None
