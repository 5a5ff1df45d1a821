"""How time and memory of a command grow with a store, each command in a process of its own.

    python examples/benchmarks/growth.py [--rows N] [--only COMMAND]… [--json]

N counts self-edits for generate, filter, update, report, sql and hit, answers for regrade,
artifacts for ls and commit. `growth_stores.py` makes the store of a command, of random text, and
says what runs in it. `update` is its preparation: nothing is trained.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from seal_cli import console
from seal_cli.options import JsonOption
from stages.errors import ConfigError, ResourceError

COMMANDS = ("generate", "filter", "regrade", "update", "report", "sql", "ls", "hit", "commit")
HOME = Path(__file__).parents[2]
RowsOption = Annotated[int, typer.Option("--rows", min=1, help="How large a store is.")]
OnlyOption = Annotated[
    list[str] | None, typer.Option("--only", metavar="COMMAND", help=", ".join(COMMANDS))
]


def growth(rows: RowsOption = 10_000, only: OnlyOption = None, as_json: JsonOption = False) -> None:
    """Make a store of N rows for each command, run the command in it, and say what it took."""
    for name in only or ():
        if name not in COMMANDS:
            raise ConfigError(f"{name} is not measured.", f"Known: {', '.join(COMMANDS)}.")
    results = [measured(name, rows) for name in only or COMMANDS]
    if as_json:
        console.out_json(results)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in results[0]:
        table.add_column(name.replace("_", " "), justify="left" if name == "command" else "right")
    for result in results:
        table.add_row(*map(str, result.values()))
    console.out_rich(table)


def measured(command: str, rows: int) -> dict[str, Any]:
    """Of one command: seconds that passed and of CPU, and the most memory it had at once, in MB."""
    with TemporaryDirectory(prefix="seal-growth-") as folder:
        maker = [sys.executable, str(Path(__file__).with_name("growth_stores.py"))]
        made = subprocess.run(
            [*maker, command, str(rows), folder], stdout=subprocess.PIPE, text=True, check=True
        )
        start = time.perf_counter()
        with Path(folder, "output").open("w") as output:
            child = subprocess.Popen(
                json.loads(made.stdout), stdout=output, stderr=output, cwd=HOME
            )
            _, status, used = os.wait4(child.pid, 0)  # what this child used, of all
            child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        if child.returncode:
            said = Path(folder, "output").read_text()[-500:]
            raise ResourceError(f"{command} of {rows} rows ended badly: {said}", "See to it.")
    return {
        "command": command,
        "rows": rows,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        # Of a process that another one starts, Linux counts what that one had: this one is small.
        "peak_mb": round(used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6),
    }


if __name__ == "__main__":
    typer.run(growth)
