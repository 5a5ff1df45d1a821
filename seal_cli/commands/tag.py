"""`seal tag`: names for artifacts."""

from typing import Annotated

import typer

from seal_cli import console
from seal_cli.options import from_stdin, store_of
from stages.errors import ConfigError, InputError

NameArg = Annotated[str | None, typer.Argument(metavar="[NAME]")]
IdArg = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Artifact that the name stands for.")
]
DeleteFlag = Annotated[bool, typer.Option("--delete", help="Remove the name.")]


def tag(
    ctx: typer.Context, name: NameArg = None, artifact: IdArg = None, delete: DeleteFlag = False
) -> None:
    """Give an artifact a name; alone, list all names."""
    store = store_of(ctx)
    if name is None:
        for known in store.names.all():
            try:
                console.out(f"{known}\t{store.names.get(known)}")
            except InputError as error:
                console.say(f"{error.message} {error.hint}")
        return
    if delete == (artifact is not None):
        raise ConfigError(
            "a name needs an artifact, or --delete.", "Use `seal tag NAME ID`, or --delete."
        )
    if artifact is None:
        store.names.remove(name)
        return
    found = store.artifact(store.resolve(from_stdin() if artifact == "-" else artifact))
    before = store.names.set(name, found.id)
    if before not in (None, found.id):
        console.say(f"{name} was {before}.")
    console.out(found.id)
