"""Read the C of nerva/_kernels/native with gcc's static analyzer, every instruction set and number type on its own.

    meson setup build && python tests/analyze.py build

The folder is one of meson, whose compile_commands.json tells how each file is compiled. Prints each finding; ends with
code 1 if there is one, and with code 2 where the analyzer itself fails.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

OF_DEPENDENCIES = ("-MQ", "-MF")  # each followed by a file that the analysis shall not write


def main() -> int:
    """Run the command line, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="folder of a build by meson, with gcc")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    commands = json.loads((options.build / "compile_commands.json").read_text())
    own = [entry for entry in commands if "/native/" in entry["file"] and entry["file"].endswith(".c")]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(analyze, own))
    failed = [entry["output"] for entry, (code, _) in zip(own, results, strict=True) if code]
    findings = [text for _, text in results if "[-Wanalyzer" in text]
    print(*findings, sep="\n")
    print(f"{len(own)} compilations, {len(findings)} with findings, {len(failed)} that failed {' '.join(failed)}")
    return 2 if failed or not own else 1 if findings else 0


def analyze(entry: dict[str, Any]) -> tuple[int, str]:
    """Return gcc's exit code and what it says of one compilation."""
    words = iter(shlex.split(entry["command"]))
    command = []
    for word in words:
        if word in OF_DEPENDENCIES or word == "-o":
            next(words)
        elif word != "-MD":
            command.append(word)
    done = subprocess.run(
        [*command, "-fanalyzer", "-o", os.devnull], cwd=entry["directory"], capture_output=True, text=True
    )
    return done.returncode, done.stderr


if __name__ == "__main__":
    sys.exit(main())
