"""Measure everything that is committed, and write bench/results: JSON, pictures, and a README.md with the tables.

python bench/results.py                       # about a quarter of an hour on a machine that does nothing else
python bench/results.py --only step shapes    # measure these again, keep the others
python bench/results.py --only                # write README.md and the pictures again, measure nothing
"""

import argparse
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import memory
from picture import draw
from probe import Probe
from probe import table as ceilings
from records import Record, load
from tables import comparison

HERE = Path(__file__).parent
COMMANDS = {
    "step": ["compare.py", "step", "--rounds", "7"],
    "shapes": ["compare.py", "shapes", "--rounds", "5"],
    "products": [
        *("compare.py", "products", "--threads", "1", "--batch", "100", "128", "--rounds", "5"),
        *("--density", "0.001", "0.01", "0.05", "0.1", "0.5"),
    ],
    "epoch": ["compare.py", "epoch", "--rounds", "5"],
    "data": ["compare.py", "data", "--rounds", "5"],
    "inference": ["compare.py", "inference"],
    "features": ["compare.py", "features", "--rounds", "31"],
    "memory": ["memory.py"],
}
HEADINGS = {
    "step": "A training step",
    "shapes": "Other shapes, batches and number types",
    "products": "The products",
    "epoch": "An epoch",
    "data": "Fetching batches",
    "inference": "Inference",
    "features": "What one thing more costs",
    "memory": "Memory",
}
INTRODUCTION = """# Results

Written by `python bench/results.py`; [what the columns mean](../README.md#reading-the-tables). Times are medians,
ratios medians of paired rounds. They hold for this machine: `python bench/compare.py step` tells those of yours.
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
    """Return README.md from what the commands have written."""
    parts = [INTRODUCTION]
    machines = [content["probe"] for content in contents.values() if content.get("probe")]
    if machines:
        parts.append(f"## The machine\n\n{ceilings(Probe.from_dict(machines[0]))}\n")
    for name, content in contents.items():
        command = " ".join(["python", f"bench/{COMMANDS[name][0]}", *COMMANDS[name][1:]])
        about = "; ".join(content[key] for key in ("title", "surroundings") if key in content)
        parts.append(f"## {HEADINGS[name]}\n\n{about[0].upper()}{about[1:]}. `{command}`\n")
        if name == "memory":
            parts.append(memory.table([memory.Footprint(**entry) for entry in content["footprints"]]) + "\n")
        parts += [comparison(table) + "\n" for table in content.get("tables", [])]
        parts += {"step": ["![](step.svg)\n"], "products": ["![](roofline.svg)\n"]}.get(name, [])
    return "\n".join(parts)


def main() -> None:
    """Measure, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=COMMANDS, help="what to measure; nothing: only write and draw")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="the folder to write to")
    parser.add_argument("--quick", action="store_true", help="two rounds of each: to try it out, not to commit")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    measure(list(COMMANDS) if options.only is None else options.only, options.out, options.quick)
    files = {name: options.out / f"{name}.json" for name in COMMANDS}
    contents = {name: load(path) for name, path in files.items() if path.exists()}
    (options.out / "README.md").write_text(readme(contents))
    drawn = [contents[name] for name in ("step", "products") if name in contents]
    if find_spec("matplotlib") is None:
        print("matplotlib is not installed: no pictures")
    else:
        draw(drawn, options.out, step="step" in contents)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
