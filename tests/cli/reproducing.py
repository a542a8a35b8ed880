"""`nerva reproduce paper` with parts that take no time, in this process or in one of its own."""

import sys
from pathlib import Path

PARTS_FOLDER = Path(__file__).parents[1] / "experiments" / "paper"
PARTS = {"timing": "fake_part", "accuracy": "other_part"}
# A program of its own; Ctrl-C reaches it even where the tests run in the background of a shell.
PROGRAM = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {str(PARTS_FOLDER)!r})
from nerva.experiments.paper import parts, protocol
parts.PARTS.clear(), parts.PARTS.update({PARTS!r})
parts.PACKAGES = ("matplotlib",)
protocol.Protocol.load = lambda self: None
from nerva.cli import main
sys.exit(main())
"""
COMMAND = [sys.executable, "-c", PROGRAM]
