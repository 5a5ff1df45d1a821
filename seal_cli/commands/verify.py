"""`seal verify`: whether everything is what was written."""

import time
from dataclasses import asdict
from typing import Annotated

import typer

from seal_cli import console
from seal_cli.options import from_stdin, store_of
from seal_cli.sharing import Sharing
from seal_cli.store.remote.inspect import Inspection
from seal_cli.store.verify import Verifier
from stages.errors import ConfigError, InputError

IdsArg = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]…", help="Artifacts, with their inputs."),
]
AllFlag = Annotated[bool, typer.Option("--all", help="The whole store.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
RemoteOption = Annotated[
    str | None,
    typer.Option(
        "--remote", metavar="URL", help="Verify what is at this URL instead; nothing is stored."
    ),
]


def verify(
    ctx: typer.Context,
    ids: IdsArg = None,
    every: AllFlag = False,
    remote: RemoteOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare every file of the store with its digest.

    It reads everything again, prints one line per finding, and then exits 3.
    """
    if bool(ids) == every:
        raise ConfigError("no artifact is named.", "Name artifacts, or use --all.")
    store, start = store_of(ctx), time.perf_counter()
    named = [from_stdin() if one == "-" else one for one in ids or ()]
    verifier: Verifier | Inspection
    if remote:
        verifier = Sharing(store, remote).inspection()
    else:
        verifier, named = Verifier(store), [store.resolve(one) for one in named]
    found = []
    for finding in verifier.everything() if every else verifier.closure(named):
        found.append(finding)
        if not as_json:
            where = " ".join(filter(None, (finding.artifact, finding.file)))
            console.out(console.safe(f"{where}: {finding.reason}. {finding.heal}"))
    seconds = time.perf_counter() - start
    counted = {
        "artifacts": verifier.artifacts,
        "files": verifier.files,
        "bytes": verifier.bytes,
        "seconds": round(seconds, 3),
    }
    if as_json:
        console.out_json(counted | {"findings": [asdict(finding) for finding in found]})
    speed = verifier.bytes / 1e6 / max(seconds, 1e-9)
    console.say(
        f"verified {verifier.artifacts} artifacts, {verifier.files} files, "
        f"{verifier.bytes / 1e6:.1f} MB in {seconds:.1f} s ({speed:.0f} MB/s)."
    )
    if found:
        plural = "is 1 finding" if len(found) == 1 else f"are {len(found)} findings"
        raise InputError(f"there {plural}.", "Each line says how to heal it.")
