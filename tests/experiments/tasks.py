"""Tasks for the engines, which their processes import."""

import os
import signal


class Odd(Exception):
    """One that cannot be taken to another process."""

    def __init__(self, name, number):
        super().__init__(f"{name} {number}")


def refuse(folder, number):
    """Raise an error that only exists here."""
    raise Odd("number", number)


def double(folder, number):
    """Twice the number, and a note of who did it."""
    if number == 3:
        raise ValueError("three is refused")
    with open(folder / f"{number}.txt", "a") as file:
        file.write(f"{os.getpid()}\n")
    return 2 * number


def die_once(folder, number):
    """End the process that calls this, the first time."""
    if number == 1 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return double(folder, number)


def die(folder, number):
    """End the process that calls this."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return double(folder, number)
