"""What came of a loop on the tiny world: the table, the plot, samples, and what RL kept.

    seal loop --contexts tiny --json > loop.json && python show.py loop.json

Reads the store through its DuckDB index, like any other tool would. Not part of the loop.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from seal_cli.console import safe
from stages.eval import bootstrap

FORMS = Path(__file__).parent / "forms.sql"
# An invalid self-edit was not examined and counts as nothing learned, as in the metrics.
PER_CONTEXT = """
    WITH examined AS (
        SELECT a.context_id, a.adapter_id, avg(v.correct::INT) AS accuracy
        FROM answers a JOIN verdicts v USING (artifact_id, answer_id, context_id)
        WHERE a.artifact_id = $id AND a.method = 'self-edits'
        GROUP BY ALL
        UNION ALL
        SELECT context_id, adapter_id, 0 FROM adapters
        WHERE artifact_id = $id AND self_edit_id IS NOT NULL AND status = 'invalid'
    )
    SELECT context_id, avg(accuracy) FROM examined GROUP BY context_id
"""
METRICS = """
    SELECT round, method, value, ci_low, ci_high, n FROM metrics
    WHERE artifact_id = ? AND metric = 'accuracy'
"""
SAMPLES = """
    SELECT c.title, c.text, s.completion
    FROM self_edits s JOIN contexts c USING (context_id)
    WHERE s.artifact_id = ? ORDER BY c.ordinal LIMIT 3
"""

Line = tuple[str, float, float, float, int]


def lines_of(connection: duckdb.DuckDBPyConnection, metrics: Sequence[str]) -> list[Line]:
    """(label, accuracy, low, high, contexts): two lines without RL, then one per round."""
    lines: list[Line] = []
    for artifact in metrics:
        for round_, method, *numbers in connection.execute(METRICS, [artifact]).fetchall():
            if method == "self-edits":
                label = (
                    "self-edits before RL" if round_ == 0 else f"self-edits after round {round_}"
                )
                lines.append((label, *numbers))
            elif round_ == 0:
                lines.append(("passage only" if method == "passage-only" else method, *numbers))
    return lines


def gain(
    connection: duckdb.DuckDBPyConnection, first: str, last: str
) -> tuple[float, float, float]:
    """Paired gain of the last policy's self-edits over the first's: mean and 95 % interval."""
    before, after = (
        dict(connection.execute(PER_CONTEXT, {"id": artifact}).fetchall())
        for artifact in (first, last)
    )
    both = sorted(before.keys() & after.keys())
    value, low, high = bootstrap([after[c] - before[c] for c in both], 4000, 0)
    assert value is not None
    assert low is not None
    assert high is not None
    return value, low, high


def print_table(console: Console, lines: Sequence[Line]) -> None:
    """The paper's table, with intervals, and its bars."""
    table = Table(box=None, pad_edge=False)
    for heading in ("no-context accuracy", "mean", "95 % interval", "contexts", ""):
        table.add_column(heading)
    for label, value, low, high, n in lines:
        bar = "█" * round(40 * value)
        table.add_row(label, f"{value:.3f}", f"{low:.3f} … {high:.3f}", str(n), bar)
    console.print(table)


def plot(lines: Sequence[Line], path: Path) -> None:
    """Accuracy by round with its intervals, over the two lines without RL."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rounds = [line for line in lines if line[0].startswith("self-edits")]
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for (label, value, *_), style in zip(lines, ("dotted", "dashed"), strict=False):
        axes.axhline(value, color="grey", linestyle=style, linewidth=1)
        axes.annotate(label, (0, value), (2, 2), textcoords="offset points", color="grey")
    values = [line[1] for line in rounds]
    errors = [[line[1] - line[2] for line in rounds], [line[3] - line[1] for line in rounds]]
    axes.errorbar(range(len(rounds)), values, errors, marker="o", capsize=4, color="#1f6f54")
    axes.set(ylim=(0, 1), xlabel="RL round", ylabel="accuracy without the passage in view")
    axes.set_xticks(range(len(rounds)))
    axes.set_title("Self-edits, before and after RL (held-out people, 95 % intervals)", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def print_samples(
    console: Console, connection: duckdb.DuckDBPyConnection, first: str, last: str
) -> None:
    """Three self-edits about held-out people, before and after."""
    before, after = (
        connection.execute(SAMPLES, [artifact]).fetchall() for artifact in (first, last)
    )
    for (title, text, old), (_, _, new) in zip(before, after, strict=True):
        console.print(f"[bold]{title}[/bold]: {text}")
        table = Table(box=None, pad_edge=False, padding=(0, 4, 0, 2))
        table.add_column("before RL", ratio=1)
        table.add_column("after", ratio=1)
        table.add_row(safe(old), safe(new))
        console.print(table)
        console.print()


def print_query(console: Console, connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """A query and its result."""
    result = connection.execute(query)
    table = Table(box=None, pad_edge=False)
    for column in result.description or ():
        table.add_column(column[0])
    for row in result.fetchall():
        table.add_row(*map(str, row))
    console.print(table)


def main() -> None:
    """Print everything about one loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", type=Path, help="what `seal loop --json` printed")
    parser.add_argument("--plot", type=Path, help="write the plot here (PNG)")
    parser.add_argument("--brief", action="store_true", help="one line of numbers")
    given = parser.parse_args()
    metrics = json.loads(given.loop.read_text())["metrics"]
    index = Path(os.environ.get("SEAL_STORE", "seal-store")) / "index.duckdb"
    console = Console(width=100, highlight=False)
    with duckdb.connect(str(index), read_only=True) as connection:
        lines = lines_of(connection, metrics)
        value, low, high = gain(connection, metrics[0], metrics[-1])
        if given.brief:
            numbers = " | ".join(f"{line[1]:.3f}" for line in lines)
            print(f"{numbers} | {value:+.3f} [{low:+.3f}, {high:+.3f}]")
            return
        print_table(console, lines)
        console.print(f"\nGain of RL, paired by context: {value:+.3f} [{low:+.3f}, {high:+.3f}]\n")
        print_samples(console, connection, metrics[0], metrics[-1])
        console.print(
            f"Which forms of self-edit did RL keep? ({FORMS.name}, or any SQL of yours)\n"
        )
        print_query(console, connection, FORMS.read_text())
    if given.plot:
        plot(lines, given.plot)
        console.print(f"\nAccuracy by round: {given.plot}")


if __name__ == "__main__":
    main()
