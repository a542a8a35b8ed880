"""Write the page and the picture of what bench/studies/ranking.py measured.

    python bench/studies/ranking_page.py ranking.jsonl --page docs/ranking.md --picture docs/ranking.svg

Accuracies are means over seeds with 95 % confidence intervals by Student's distribution; times those of the fastest
seed, in processor time, relative to the static network's. In the picture, methods on the Pareto front have no other one
that is both faster and more accurate. Colours are those of Okabe and Ito, which people who confuse red and green tell
apart, and every method has a mark of its own.
"""

import argparse
import json
import sys
from collections import defaultdict
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from textwrap import fill
from typing import Any, NamedTuple

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.tables import markdown

STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # two-sided 95 %, by degrees of freedom
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7")
AS_LONG = 0.1  # of the static network's time, by which another may differ and count as equal
MARKS = "osD^v<>PX*dph"
NAMES = {"cifar10": "CIFAR-10", "shapes": "shapes", "nesterov": "Nesterov momentum", "adam": "Adam"}
Run = dict[str, Any]


class Result(NamedTuple):
    """What a method reached: accuracies in percent of its seeds, epochs, and seconds of the fastest seed."""

    accuracies: list[float]
    epochs: int
    seconds: float
    weights: float

    @property
    def accuracy(self) -> float:
        """The mean."""
        return mean(self.accuracies)

    @property
    def interval(self) -> float:
        """Half of the confidence interval; infinite for one seed."""
        n = len(self.accuracies)
        return STUDENT[min(n - 2, len(STUDENT) - 1)] * stdev(self.accuracies) / sqrt(n) if n > 1 else float("inf")

    def __str__(self) -> str:
        """Return the mean and the interval."""
        shown = f"{self.accuracy:.2f}"
        return shown if len(self.accuracies) == 1 else f"{shown} ± {self.interval:.2f}"


Group = dict[str, dict[str, Result]]  # by method, then by budget, "epochs" or "time"


def grouped(runs: list[Run]) -> dict[tuple[str, str], Group]:
    """Return the results by data and optimizer."""
    found: dict[tuple[str, str], dict[str, dict[str, list[Run]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for run in runs:
        found[run["data"], run["optimizer"]][run["method"]][run["budget"]].append(run)
    return {
        key: {name: {budget: result(some) for budget, some in of.items()} for name, of in methods.items()}
        for key, methods in found.items()
    }


def complete(runs: list[Run]) -> list[Run]:
    """Return the runs of the seeds that every method of their data and optimizer has: of a study that goes on, a part.

    Runs of equal time are left out where they are not there for all these seeds.
    """
    seeds: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for run in runs:
        seeds[run["data"], run["optimizer"], run["method"], run["budget"]].add(run["seed"])
    common: dict[tuple[str, ...], set[int]] = {}
    for (*group, _, budget), own in seeds.items():
        if budget == "epochs":
            common[tuple(group)] = common.get(tuple(group), own) & own
    kept = []
    for run in runs:
        wanted = common.get((run["data"], run["optimizer"]), set())
        has = seeds[run["data"], run["optimizer"], run["method"], run["budget"]]
        if run["seed"] in wanted <= has:
            kept.append(run)
    return kept


def result(runs: list[Run]) -> Result:
    """Return the result of the seeds of one method."""
    accuracies = [100 * run["accuracy"][-1] for run in runs]
    fastest = min(run["cpu"] for run in runs)
    return Result(accuracies, runs[0]["epochs"], fastest, mean(run["weights"] for run in runs))


def at_equal_time(of: dict[str, Result], static: Result) -> Result | None:
    """Return the result of as much time as the static network took, or that of equal epochs where these take as long.

    None where no run has been trained for that time.
    """
    as_long = abs(of["epochs"].seconds / static.seconds - 1.0) <= AS_LONG
    return of.get("time", of["epochs"] if as_long else None)


def table(group: Group) -> str:
    """Return the table of a group, the most accurate method first."""
    static, rows = group["static"]["epochs"], []
    for name, of in sorted(group.items(), key=lambda item: -item[1]["epochs"].accuracy):
        own, timed = of["epochs"], at_equal_time(of, static)
        spent = f"{own.seconds / static.seconds:.2f}"
        last = ["-", "-"] if timed is None else [str(timed.epochs), str(timed)]
        rows.append([name, str(own), f"{own.weights:,.0f}", spent, *last])
    header = ["method", "accuracy, %", "weights", "time", "epochs at equal time", "accuracy at equal time, %"]
    return markdown(header, rows)


def sentence(group: Group, timed: bool) -> str:
    """Return which methods are above and below the static network, by more than the intervals of both together."""
    static = group["static"]["epochs"]
    each = {name: at_equal_time(of, static) if timed else of["epochs"] for name, of in group.items()}
    picked = {name: found for name, found in each.items() if found is not None and name != "static"}
    if len(static.accuracies) == 1 or not picked:
        return ""
    apart = {name: r.accuracy - static.accuracy for name, r in picked.items()}
    above = [name for name, r in picked.items() if apart[name] > r.interval + static.interval]
    below = [name for name, r in picked.items() if -apart[name] > r.interval + static.interval]
    listed = [f"{where}: {', '.join(found) or 'none'}" for where, found in (("above", above), ("below", below))]
    what = "equal time" if timed else "equal numbers of weights and epochs"
    return f"At {what}, apart from static by more than both intervals: {'; '.join(listed)}."


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (time, accuracy) that no other one beats in both, by time."""
    best, kept = float("-inf"), []
    for time, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if accuracy > best:
            best = accuracy
            kept.append((time, accuracy))
    return kept


def draw(groups: dict[tuple[str, str], Group], names: list[str], out: Path) -> None:
    """Plot accuracy against time, a panel for each group: filled at equal epochs, open at equal time."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "ranking"  # the same file for the same results
    rows = -(-len(groups) // 2)
    figure = Figure(figsize=(9, 1.2 + 3.4 * rows), layout="constrained")
    panels, marks = figure.subplots(rows, min(2, len(groups)), squeeze=False).flat, {}
    for axes, ((data, optimizer), group) in zip(panels, sorted(groups.items()), strict=False):
        unit, points = group["static"]["epochs"].seconds, []
        for i, name in enumerate(names):
            for budget, own in group.get(name, {}).items():
                colour, error = COLOURS[i % len(COLOURS)], own.interval if len(own.accuracies) > 1 else 0
                face = colour if budget == "epochs" else "none"
                style = {"fmt": MARKS[i % len(MARKS)], "color": colour, "mfc": face, "ms": 6, "lw": 0.8}
                drawn = axes.errorbar([own.seconds / unit], [own.accuracy], [error], **style)
                points.append((own.seconds / unit, own.accuracy))
                if budget == "epochs":
                    marks[name] = drawn
        axes.step(*zip(*front(points), strict=True), where="post", color="0.6", lw=1, zorder=0)
        axes.set(xscale="log", xlabel="time, static = 1", ylabel="test accuracy, %")
        ticks = [0.5, 1, 2, 3, 5, 10]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_title(f"{NAMES[data]}, {NAMES[optimizer]}", fontsize=9)
        axes.grid(alpha=0.3)
    figure.legend(marks.values(), marks.keys(), fontsize=8, ncols=5, loc="outside upper center")
    figure.savefig(out, metadata={"Date": None})


def filled(paragraph: str) -> str:
    """Return a paragraph in lines of at most 120 characters."""
    return fill(" ".join(paragraph.split()), 120, break_long_words=False, break_on_hyphens=False) + "\n"


def page(runs: list[Run], picture: str) -> str:
    """Return the page."""
    groups, main = grouped(runs), [run for run in runs if run["budget"] == "epochs"]
    epochs, seeds = main[0]["epochs"], len({run["seed"] for run in main})
    first, normalized = main[0], main[0]["batch_norm"]
    paragraphs = [
        f"""Every method of [dynamic sparse training](topology.md) on the same network, 3072-1024-512-10 with
        {first["weights"]:,} weights (density {first["density"]:g}), {epochs} epochs, {seeds} seeds, one thread. The
        learning rate is 0.1 with Nesterov momentum and 0.001 with Adam, divided by ten at 50 % and at 75 % of the
        epochs; batch size 100{", batch normalization" if normalized else ""}. CIFAR-10 is a JPEG copy, with
        augmentation; "shapes" is the data set that `nerva.datasets.shapes()` generates. GraNet and GMP start with five
        times the weights, Top-KAST with twice as many. "RigL from its own" starts with the fan-in that RigL ended with,
        its weights elsewhere; the time of the run that found it is not counted. Accuracies are means with 95 %
        confidence intervals over seeds. These are short runs of one small network: they rank methods under this
        budget, not in general.""",
        """Time is processor time relative to the static network's, the fastest seed's, with the test after each epoch.
        At equal time a method trains for as many epochs as take as long as all of the static network, with its learning
        rates divided at the same parts of them; methods within 10 % of that time keep their result.""",
        f"![Accuracy against time]({picture})",
        f"""Filled marks: {epochs} epochs. Open marks: equal time. The line is the Pareto front: no method is both
        faster and more accurate than those on it.""",
    ]
    parts = ["# Methods, ranked\n", *(filled(paragraph) for paragraph in paragraphs)]
    for (data, optimizer), group in sorted(groups.items()):
        parts += [f"## {NAMES[data]}, {NAMES[optimizer]}\n", table(group) + "\n"]
        parts += [filled(sentence(group, timed)) for timed in (False, True) if seeds > 1]
    given = f"--epochs {epochs} --seeds {seeds} --density {first['density']:g}{' --batch-norm' * normalized}"
    parts.append(
        f"""## Again

```sh
python bench/studies/ranking.py --data-dir DIR --out ranking.jsonl {given}
python bench/studies/ranking_page.py ranking.jsonl --page docs/ranking.md --picture docs/ranking.svg
```
"""
    )
    return "\n".join(parts)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="JSON lines of ranking.py")
    parser.add_argument("--page", type=Path, help="Markdown file to write; printed without it")
    parser.add_argument("--picture", type=Path, help="SVG file to write")
    options = parser.parse_args()
    runs = [json.loads(line) for file in options.files for line in file.read_text().splitlines()]
    runs = complete(runs)
    if not any(run["method"] == "static" for run in runs):
        parser.error("there is no run of the static network, which times are relative to")
    if options.picture is not None:
        draw(grouped(runs), list(dict.fromkeys(run["method"] for run in runs)), options.picture)
    text = page(runs, options.picture.name if options.picture else "ranking.svg")
    if options.page is None:
        print(text)
    else:
        options.page.write_text(text)


if __name__ == "__main__":
    main()
