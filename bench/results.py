"""Measure all committed results, and write bench/results: JSON, plots, and a README.md with the tables.

python bench/results.py                           # about an hour on an otherwise idle machine
python bench/results.py --only use hot-step       # measure these, keep the others
python bench/results.py --only                    # measure nothing, write README.md and the plots
"""

import argparse
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from harness.memory import Footprint
from harness.memory import table as footprints
from harness.picture import draw
from harness.probe import Probe
from harness.records import Record, load
from harness.tables import comparison
from machine import table as peaks

HERE = Path(__file__).parent
COMMANDS = {
    "use": ["compare.py", "use"],
    "hot-step": ["compare.py", "hot-step", "--rounds", "7"],
    "hot-shapes": ["compare.py", "hot-shapes", "--rounds", "5"],
    "products": [
        *("compare.py", "products", "--threads", "1", "--batch", "100", "128", "--rounds", "5"),
        *("--density", "0.001", "0.01", "0.05", "0.1", "0.5"),
    ],
    "data": ["compare.py", "data", "--rounds", "5"],
    "memory": ["harness/memory.py"],
}
HEADINGS = {
    "use": "What users run",
    "hot-step": "A hot training step",
    "hot-shapes": "Hot steps of other shapes, batch sizes and dtypes",
    "products": "The products",
    "data": "Gathering mini-batches",
    "memory": "Memory",
}
INTRODUCTION = """# Results

Written by `python bench/results.py`; [what the columns mean](../README.md#reading-the-tables). Times are medians,
ratios are medians of paired rounds. They hold for this machine; `python bench/compare.py use` measures yours.
"""


def measure(names: list[str], folder: Path, quick: bool) -> None:
    """Run the commands, one after the other."""
    for name in names:
        command = [sys.executable, str(HERE / COMMANDS[name][0]), *COMMANDS[name][1:]]
        if quick and COMMANDS[name][0] == "compare.py":
            command += ["--rounds", "2", "--patience", "2"]
        started = time.monotonic()
        print(f"\n== {name}", flush=True)
        subprocess.run([*command, "--json", str(folder / f"{name}.json")], check=True)
        print(f"\n{name}: {time.monotonic() - started:.0f} s", flush=True)


def readme(contents: dict[str, Record]) -> str:
    """Return README.md from the documents of the commands."""
    parts = [INTRODUCTION]
    machines = [content["probe"] for content in contents.values() if content.get("probe")]
    if machines:
        parts.append(f"## The machine\n\n{peaks(Probe.from_dict(machines[0]))}\n")
    for name, content in contents.items():
        command = " ".join(["python", f"bench/{COMMANDS[name][0]}", *COMMANDS[name][1:]])
        about = "; ".join(content[key] for key in ("title", "environment") if key in content)
        parts.append(f"## {HEADINGS[name]}\n\n{about[0].upper()}{about[1:]}. `{command}`\n")
        if name == "memory":
            parts.append(footprints([Footprint(**entry) for entry in content["footprints"]]) + "\n")
        parts += [comparison(table) + "\n" for table in content.get("tables", [])]
        parts += {"hot-step": ["![](hot-step.svg)\n"], "products": ["![](roofline.svg)\n"]}.get(name, [])
    return "\n".join(parts)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=COMMANDS, help="commands to measure; none: only write and plot")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="the folder to write to")
    parser.add_argument("--quick", action="store_true", help="two rounds of each, to try it out")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    measure(list(COMMANDS) if options.only is None else options.only, options.out, options.quick)
    files = {name: options.out / f"{name}.json" for name in COMMANDS}
    contents = {name: load(path) for name, path in files.items() if path.exists()}
    (options.out / "README.md").write_text(readme(contents))
    drawn = [contents[name] for name in ("hot-step", "products") if name in contents]
    if find_spec("matplotlib") is None:
        print("matplotlib is not installed: no plots")
    else:
        draw(drawn, options.out, step="hot-step" in contents)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
