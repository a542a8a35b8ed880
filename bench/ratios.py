"""Compare two runs by their ratios to the peers, which hold from one day to another where times do not.

    python bench/ratios.py OLD.json NEW.json [--fall 0.1]

Files are those of `pytest bench --benchmark-json`, of pytest-benchmark's storage, or of `compare.py --json`.
"""

import argparse
from pathlib import Path

from records import load, ratios
from tables import markdown


def changes(old: dict[str, float], new: dict[str, float]) -> dict[str, float]:
    """Return by which fraction each ratio of both runs has risen, the one that fell most first."""
    found = {name: new[name] / ratio - 1 for name, ratio in old.items() if name in new}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def main() -> int:
    """Print the table; return 1 where a ratio fell by more than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--fall", type=float, help="exit with 1 where a ratio fell by over this fraction")
    options = parser.parse_args()
    old, new = ratios(load(options.old)), ratios(load(options.new))
    found = changes(old, new)
    rows = [[name, f"{old[name]:.3g}", f"{new[name]:.3g}", f"{change:+.0%}"] for name, change in found.items()]
    print(markdown(["how many times faster than", "old", "new", "change"], rows))
    for title, names in (
        ("only in the old run", old.keys() - new.keys()),
        ("only in the new", new.keys() - old.keys()),
    ):
        if names:
            print(f"\n{title}: {', '.join(sorted(names))}")
    return int(options.fall is not None and any(change < -options.fall for change in found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
