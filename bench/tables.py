"""Results as text: Markdown tables, and a line on what they were measured with."""

from collections.abc import Sequence

from pairs import Measurement
from peers import Peer


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned Markdown table, its columns right-aligned."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in (header, *rows)]
    lines.insert(1, ["-" * (width - 1) + ":" for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def comparison(label: str, measurements: dict[str, Measurement]) -> str:
    """Return a table with a row for each measurement: the first peer's time, and how many times as long others take."""
    peers = [result.peer for result in max((m.results for m in measurements.values()), key=len)]
    rows = []
    for name, measurement in measurements.items():
        ours, *others = measurement.results
        found = {result.peer: f"{result.ratio:.3g}" for result in others}
        mark = " *" if measurement.disturbed else ""
        rows.append([name + mark, f"{1e3 * ours.seconds:.3g}", *(found.get(peer, "-") for peer in peers[1:])])
    table = markdown([label, f"{peers[0].name}, ms", *(f"{peer.name}, times" for peer in peers[1:])], rows)
    if any(measurement.disturbed for measurement in measurements.values()):
        table += "\n\n* other processes took part of the cores: these say little, measure again on a quieter machine."
    return table


def surroundings(peers: Sequence[type[Peer]], threads: int) -> str:
    """Return the processor, the threads and the versions in one line."""
    import nerva

    config = nerva.config()
    versions = sorted({peer.version() for peer in peers})
    return f"{config['processor']}, {config['instruction set'].split()[0]}, threads: {threads}; {', '.join(versions)}"
