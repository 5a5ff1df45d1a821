"""`seal view`: one page to browse self-edits, what they earned and what they changed."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from seal_cli import console
from seal_cli.options import SecondsOption, from_stdin, store_of
from seal_cli.reports.view import gather, page
from seal_cli.store.query import check_complete, require

IdsArg = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]…", help="Artifacts to show with their inputs. [default: all]"),
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
OpenFlag = Annotated[bool, typer.Option("--open", help="Open it in a browser.")]


def view(
    ctx: typer.Context,
    ids: IdsArg = None,
    output: OutputOption = Path("seal-view.html"),
    open: OpenFlag = False,
    timeout: SecondsOption = 60.0,
) -> None:
    """Write one HTML page to browse self-edits.

    It holds everything it shows and asks the network for nothing.
    """
    console.check_folder(output)
    workspace = store_of(ctx)
    require(workspace)
    found = [workspace.resolve(from_stdin() if one == "-" else one) for one in ids or ()]
    console.save(page(gather(workspace, found, timeout)), output)
    console.say(f"written to {output}.")
    if open and not webbrowser.open(output.absolute().as_uri()):
        console.say("no browser was found to open it with.")
    check_complete(workspace)
