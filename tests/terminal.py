"""A terminal that a program writes to."""

import os
import pty
import select


class Terminal:
    """Its end for the program is `theirs`, until `read`."""

    def __init__(self):
        self._ours, self.theirs = pty.openpty()

    def read(self):
        """What the program writes until it ends."""
        os.close(self.theirs)
        output = b""
        while select.select([self._ours], [], [], 60)[0]:
            try:
                piece = os.read(self._ours, 1 << 16)
            except OSError:  # so a terminal ends
                break
            output += piece
        os.close(self._ours)
        return output.decode()
