"""`seal loop`: rounds of the six stages and eval, by the same calls and with the same ids.

It owns no artifact and keeps no state: killed and run again, every finished stage is a hit.
"""

from typing import Annotated

import typer

from seal_cli.api import Seal
from seal_cli.options import AllowOption, ProbeOption, ProxyOption, StudentOption, stage_command
from seal_cli.pipeline.loop import TAKES

ContextsOption = Annotated[
    str,
    typer.Option(
        "--contexts",
        help="Contexts artifact to learn from, or tiny or tiny-grids (its train split).",
    ),
]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="Model folder, hub name, update artifact, tiny or tiny-grids "
        "[default: the one of --contexts, else tiny]",
    ),
]
EvalOption = Annotated[
    str | None,
    typer.Option(
        "--eval-contexts",
        help="Contexts artifact to measure on. [default: the eval split of tiny, else --contexts]",
    ),
]


@stage_command(TAKES, Seal.loop)
def loop(
    contexts: ContextsOption,
    policy: PolicyOption = None,
    student: StudentOption = None,
    eval_contexts: EvalOption = None,
    probe: ProbeOption = None,
    allow_split: AllowOption = None,
    proxy_model: ProxyOption = None,
) -> None:
    """Run rounds of generate, score, filter, update and eval.

    Every policy is measured on the evaluation contexts. Settings of the stages come from seal.toml,
    SEAL_* variables and --set.
    """
