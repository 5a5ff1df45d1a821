"""`seal pull`: artifacts from another place."""

from typing import Annotated

import typer

from seal_cli import console
from seal_cli.options import ClosureFlag, ModelsFlag, QuietFlag, WeightsFlag, ids_and_url, store_of
from seal_cli.sharing import Sharing

GivenArg = Annotated[
    list[str],
    typer.Argument(
        metavar="ID… URL",
        help="Full ids, or -; then the URL given to `seal push`. [default: SEAL_REMOTE]",
    ),
]
RepairFlag = Annotated[
    bool, typer.Option("--repair", help="Verify what is here, and fetch damaged files again.")
]


def pull(
    ctx: typer.Context,
    given: GivenArg,
    closure: ClosureFlag = True,
    no_weights: WeightsFlag = False,
    with_models: ModelsFlag = False,
    repair: RepairFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Fetch artifacts and their inputs from another place.

    It prints their ids. Every file is compared with its digest, and an artifact appears whole or
    not at all. What came before an interruption is not fetched again.
    """
    console.configure(quiet=quiet)
    ids, url = ids_and_url(given)
    Sharing(store_of(ctx), url).pull(
        ids, closure=closure, weights=not no_weights, models=with_models, repair=repair
    )
    for one in ids:
        console.out(one)
