"""`seal import contexts`: files -> one contexts artifact."""

from typing import Annotated

import typer

from seal_cli.api import Seal
from seal_cli.options import stage_command
from seal_cli.pipeline.import_contexts import TAKES
from stages.domains import DOMAINS

PathsArg = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH…",
        help="SQuAD JSON, JSONL, Parquet, a saved or hub dataset, a folder of texts, ARC JSON "
        "(with --domain arc), tiny or tiny-grids.",
    ),
]
DomainOption = Annotated[
    str | None,
    typer.Option(
        "--domain",
        help=f"Domain: {', '.join(DOMAINS)}. [default: knowledge; arc for tiny-grids]",
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option("--split", help="Split to import; passages that name none get it as theirs."),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Import the first N contexts.")
]
OnlyOption = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="ID,...",
        help="Import only these contexts: titles or context ids, in the order of the file.",
    ),
]


@stage_command(TAKES, Seal.import_contexts)
def import_contexts(
    paths: PathsArg,
    domain: DomainOption = None,
    split: SplitOption = None,
    limit: LimitOption = None,
    only: OnlyOption = None,
) -> None:
    """Import passages and questions, or tasks, from files."""
