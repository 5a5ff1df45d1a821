"""`seal push`: artifacts to another place."""

from functools import partial
from typing import Annotated

import typer

from seal_cli import console
from seal_cli.options import ClosureFlag, ModelsFlag, QuietFlag, WeightsFlag, ids_and_url, store_of
from seal_cli.pipeline.models import folder_of
from seal_cli.sharing import Sharing

GivenArg = Annotated[
    list[str],
    typer.Argument(
        metavar="ID… URL",
        help="Artifacts, or -; then file:///folder, s3://bucket/path, gs://, sftp://host/path, "
        "hf://user/repo or hf://datasets/user/repo. [default: SEAL_REMOTE]",
    ),
]
RepairFlag = Annotated[
    bool, typer.Option("--repair", help="Verify what is there, and send damaged files again.")
]


def push(
    ctx: typer.Context,
    given: GivenArg,
    closure: ClosureFlag = True,
    no_weights: WeightsFlag = False,
    with_models: ModelsFlag = False,
    repair: RepairFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Send artifacts and their inputs to another place.

    It prints their ids. What is there already is not sent again, so a push that was interrupted
    goes on. Credentials are those of the environment (AWS_*, HF_TOKEN, the agent of ssh), never
    part of the URL.
    """
    console.configure(quiet=quiet)
    store = store_of(ctx)
    references, url = ids_and_url(given)
    sharing = Sharing(store, url)
    ids = [store.resolve(one) for one in references]
    sharing.push(
        ids,
        closure=closure,
        weights=not no_weights,
        models=partial(folder_of, store) if with_models else None,
        repair=repair,
    )
    for one in ids:
        console.out(one)
