"""Compare the ratios of two runs, which are reproducible from day to day while times are not.

    python bench/harness/ratios.py OLD.json NEW.json [--fall 0.1]

The files are those of `pytest bench --benchmark-json`, of pytest-benchmark's storage, or of `compare.py --json`.
"""

import argparse
import sys
from pathlib import Path

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.records import load, ratios
from harness.tables import markdown


def changes(old: dict[str, float], new: dict[str, float]) -> dict[str, float]:
    """Return the relative change of each ratio that both runs have, the largest fall first."""
    found = {name: new[name] / ratio - 1 for name, ratio in old.items() if name in new}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def main() -> int:
    """Run the command line; return 1 if a ratio fell by more than --fall."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--fall", type=float, help="exit with 1 if a ratio fell by more than this fraction")
    options = parser.parse_args()
    old, new = ratios(load(options.old)), ratios(load(options.new))
    found = changes(old, new)
    rows = [[name, f"{old[name]:.3g}", f"{new[name]:.3g}", f"{change:+.0%}"] for name, change in found.items()]
    print(markdown(["nerva is faster than, times", "old", "new", "change"], rows))
    for title, names in (
        ("only in the old run", old.keys() - new.keys()),
        ("only in the new run", new.keys() - old.keys()),
    ):
        if names:
            print(f"\n{title}: {', '.join(sorted(names))}")
    return int(options.fall is not None and any(change < -options.fall for change in found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
