"""Results as text: Markdown tables, and a line about the hardware and software they were measured on."""

from collections.abc import Sequence

from harness.peer import Peer
from harness.records import UNITS, Record, peers_of, unreliable


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned Markdown table, its columns right-aligned."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in (header, *rows)]
    lines.insert(1, ["-" * (width - 1) + ":" for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def comparison(table: Record) -> str:
    """Return a table with a row for each record: the first peer's time, and the ratios of the others to it."""
    rows: list[Record] = table["rows"]
    first, *peers = peers_of(rows)
    rated, bounded = any("gflops" in row for row in rows), any("of_ceiling" in row for row in rows)
    alone = {(row["name"], row.get("cores")): row["seconds"][first] for row in rows if row["threads"] == 1}
    shared = any(row["threads"] > 1 and (row["name"], row.get("cores")) in alone for row in rows)
    header = [table["label"], "threads", "cores", "rounds", f"{first}, {table['unit']}", *["of one thread"] * shared]
    header += ["GFLOP/s"] * rated + ["of the ceiling"] * bounded + [f"{peer}, times" for peer in peers]
    lines = []
    for row in rows:
        seconds = row["seconds"][first]
        name = row["name"] + (" *" if unreliable(row) else "")
        line = [name, str(row["threads"]), row.get("cores", "-"), _rounds(row)]
        line.append(f"{seconds * UNITS[table['unit']]:.3g}")
        if shared:
            one = alone.get((row["name"], row.get("cores")))
            line.append(f"{seconds / one:.2f}" if one and row["threads"] > 1 else "-")
        if rated:
            line.append(f"{row['gflops'][first]:.3g}" if "gflops" in row else "-")
        if bounded:
            line.append(f"{row['of_ceiling'][first]:.0%}" if "of_ceiling" in row else "-")
        lines.append([*line, *(f"{row['ratios'][peer]:.3g}" if peer in row["ratios"] else "-" for peer in peers)])
    notes = list(dict.fromkeys(f"{row['name']}: {left}" for row in rows for left in _left_out(row)))
    if any(unreliable(row) for row in rows):
        notes.append("* other processes used the cores in all rounds: measure again on a quieter machine.")
    return "\n\n".join([markdown(header, lines), *(["\n".join(notes)] if notes else [])])


def _rounds(row: Record) -> str:
    """Return how many rounds count, and of how many, if another process ran in some."""
    if "rounds" not in row:
        return "-"
    count: int = row["rounds"] - row["disturbed"]
    return f"{count} of {row['rounds']}" if row["disturbed"] else str(count)


def _left_out(row: Record) -> list[str]:
    """Return a sentence for each reason that peers were left out of a row."""
    reasons: dict[str, list[str]] = {}
    for peer, why in row["left_out"].items():
        reasons.setdefault(why, []).append(peer)
    return [f"{', '.join(peers)} left out, {why}." for why, peers in reasons.items()]


def environment(peers: Sequence[type[Peer]], threads: Sequence[int] = ()) -> str:
    """Return the processor, the numbers of threads and the versions in one line."""
    import nerva

    config = nerva.config()
    versions = sorted({peer.version() for peer in peers})
    parts = [config["processor"], config["instruction set"].split()[0]]
    parts += [f"threads: {', '.join(map(str, threads))}"] if threads else []
    return f"{', '.join(parts)}; {', '.join(versions)}"
