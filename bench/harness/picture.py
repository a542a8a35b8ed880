"""Plot results: the time of a hot step against the density for every peer, and a roofline of products and steps.

    python bench/harness/picture.py --hot-step hot-step.json --products products.json --out bench/results

The files are those of `compare.py hot-step --out` and `compare.py products --out`. Of the rows of a name, that with the
most threads and undisturbed rounds is plotted. Requires matplotlib.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.records import Record, load, most_measured, peers_of

FORMATS = ("svg", "png")
MARKS = "osD^v<>PX"


def time_of_step(content: Record, out: Path) -> None:
    """Plot hot-step.svg and hot-step.png: milliseconds against density."""
    axes = _axes()
    rows = most_measured(content["tables"][0]["rows"])
    for i, peer in enumerate(peers_of(rows)):
        points = [(1 - float(row["name"]), 1e3 * row["seconds"][peer]) for row in rows if peer in row["seconds"]]
        width, style = (2.5, "-") if peer == "nerva" else (1.0, "--" if "by hand" in peer else "-")
        axes.plot(*zip(*sorted(points), strict=True), style, marker=MARKS[i % len(MARKS)], lw=width, ms=4, label=peer)
    axes.set(xscale="log", yscale="log", xlabel="density", ylabel="ms per hot step")
    axes.set_title(f"{content['title']}, threads: {rows[0]['threads']}\n{_machine(content)}", fontsize=8)
    _save(axes, out / "hot-step")


def roofline(contents: list[Record], out: Path) -> None:
    """Plot roofline.svg and roofline.png: GFLOP/s per thread against arithmetic intensity."""
    axes = _axes()
    machine = contents[0]["probe"]
    if machine is None:
        raise SystemExit("measured with --no-probe: there is no roofline to plot")
    series: dict[str, list[tuple[float, float]]] = {}
    for content in contents:
        for table in content["tables"]:
            for row in most_measured(table["rows"]):
                if row["dtype"] == "float32" and row["sparse"]:
                    label = table["label"].removesuffix(", density").removesuffix(", sparsity")
                    point = row["flops"] / row["least_bytes"], row["gflops"]["nerva"] / row["threads"]
                    series.setdefault(label, []).append(point)
    intensities = [x for points in series.values() for x, _ in points]
    left, right = min(intensities) / 2, max(2 * max(intensities), machine["fma"]["float32"] / machine["read"]["memory"])
    peak = machine["fma"]["float32"]
    for name, gigabytes in machine["read"].items():
        knee = peak / gigabytes
        xs = [left, knee, right] if knee > left else [left, right]
        axes.plot(xs, [min(peak, gigabytes * x) for x in xs], color="grey", lw=0.8)
        axes.annotate(f"{name} {gigabytes:.0f} GB/s", (left, min(peak, gigabytes * left)), fontsize=7, color="grey")
    axes.annotate(f"multiply-add {peak:.0f} GFLOP/s", (right, peak), fontsize=7, color="grey", ha="right", va="bottom")
    rows_from_l2 = machine["read"]["L2"] / 4 * 2
    axes.axhline(rows_from_l2, color="grey", lw=0.8, ls=":")
    text = f"a row from L2 per weight: {rows_from_l2:.0f}"
    axes.annotate(text, (right, rows_from_l2), fontsize=7, color="grey", ha="right", va="bottom")
    for i, (label, points) in enumerate(series.items()):
        axes.plot(*zip(*sorted(points), strict=True), marker=MARKS[i % len(MARKS)], lw=1, ms=4, label=label)
    axes.set(xscale="log", yscale="log", ylabel="GFLOP/s per thread")
    axes.set_xlabel("arithmetic intensity: operations per byte read from memory at least once")
    axes.set_title(f"nerva, float32, per thread\n{_machine(contents[0])}", fontsize=8)
    _save(axes, out / "roofline")


def _axes() -> Any:
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "nerva"  # the same file from the same data
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(7, 4.5), layout="constrained")[1]


def _machine(content: Record) -> str:
    machine: str = content["environment"].split(";")[0]
    return machine.split(", threads")[0]


def _save(axes: Any, path: Path) -> None:
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in FORMATS:
        metadata = {"Date": None} if suffix == "svg" else None
        axes.figure.savefig(path.with_suffix(f".{suffix}"), dpi=150, metadata=metadata)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hot-step", type=Path, help="file of compare.py hot-step --out")
    parser.add_argument("--products", type=Path, help="file of compare.py products --out")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the plots")
    options = parser.parse_args()
    draw([load(path) for path in (options.hot_step, options.products) if path], options.out, bool(options.hot_step))


def draw(contents: list[Record], out: Path, step: bool) -> None:
    """Plot the documents; with `step`, the first one is that of the hot steps."""
    if step:
        time_of_step(contents[0], out)
    if contents:
        roofline(contents, out)


if __name__ == "__main__":
    main()
