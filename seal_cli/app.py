"""The `seal` command: its subcommands in pipeline order, and the one place where errors end.

Every error leaves as one or two sentences on stderr with what to do next, and an exit code
(`stages.errors`). A traceback is a bug.
"""

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from seal_cli import __version__, console
from seal_cli.commands import (
    adapt,
    bench,
    bench_generate,
    doctor,
    filter,  # noqa: A004  # the stage's name
    gc,
    generate,
    import_contexts,
    import_official,
    init,
    log,
    loop,
    ls,
    quiz,
    regrade,
    report,
    rm,
    score,
    show,
    sql,
    tag,
    update,
    verify,
    why,
)
from seal_cli.commands import eval as evaluate
from seal_cli.options import stage_command
from seal_cli.signals import Stopped, install
from seal_cli.store.workspace import Workspace
from stages.config import (
    AdaptConfig,
    ContinualConfig,
    CptConfig,
    EvalConfig,
    FilterConfig,
    GenerateConfig,
    LoopConfig,
    QuizConfig,
    RewardConfig,
    ScoreConfig,
    UpdateConfig,
)
from stages.domains.arc.settings import ArcConfig
from stages.engines.settings import EndpointConfig
from stages.errors import InputError, ResourceError, SealError
from stages.grading.judge import JudgeConfig

_RESOURCE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EIO, errno.EMFILE}
_PAST_MEMORY = ("can't allocate memory", "not enough memory")


class Boundary(TyperGroup):
    """The group whose `invoke` every command runs under."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; whatever it raises becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except SealError as error:
            console.complain(error)
            raise typer.Exit(error.exit_code) from error
        except Stopped as stop:
            console.say("interrupted; finished batches are kept: run the same command to go on.")
            raise typer.Exit(stop.exit_code) from stop
        except BrokenPipeError:
            # The reader went away (`| head`): nothing may be flushed to it, and it is no bug.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(128 + signal.SIGPIPE) from None
        except (OSError, MemoryError, RuntimeError) as error:
            known = _refusal(error)
            if known is None:
                raise
            console.complain(known)
            raise typer.Exit(known.exit_code) from error


def _refusal(error: BaseException) -> SealError | None:
    """What the operating system refused, as our error; None for anything else."""
    if isinstance(error, OSError) and error.errno in _RESOURCE:
        return ResourceError(
            f"the disk or another resource ran out: {error}.",
            "Free some and run the same command: finished batches are kept.",
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ResourceError(
            f"no access: {error}.", "Check the permissions, or choose another --store."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
        return InputError(f"{error.strerror}: {error.filename}.", "Check the path.")
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if memory or any(text in str(error) for text in _PAST_MEMORY):
        return ResourceError(
            "memory ran out.",
            "Lower --decode-batch, --max-tokens or --max-length, or use a smaller model.",
        )
    return None


app = typer.Typer(
    cls=Boundary,
    name="seal",
    help=(
        "Self-adapting language models as a shell pipeline.\n\n"
        "contexts → generate → adapt → score → filter → update → policy, and eval beside it. "
        "Every stage prints the id of the artifact it made; '-' reads one from stdin. The defaults "
        "are the paper's; a model may bring a seal.toml with its own (tiny does)."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
importing = typer.Typer(
    help="Bring contexts, or released results, into the store.", no_args_is_help=True
)
app.add_typer(importing, name="import")
benching = typer.Typer(help="Measure this machine.", no_args_is_help=True)
app.add_typer(benching, name="bench")

app.command("init")(init.init)
importing.command("contexts")(stage_command(import_contexts.import_contexts, models=False))
importing.command("official")(stage_command(import_official.import_official, models=False))
app.command("quiz")(stage_command(quiz.quiz, QuizConfig))
app.command("generate")(
    stage_command(
        generate.generate,
        GenerateConfig,
        EndpointConfig,
        ArcConfig,
        without=("grids", "reorder", "colours", "own_first"),  # how the student is trained
    )
)
app.command("adapt")(stage_command(adapt.adapt, AdaptConfig, ArcConfig))
app.command("score")(
    stage_command(score.score, ScoreConfig, RewardConfig, AdaptConfig, ArcConfig, JudgeConfig)
)
app.command("filter")(stage_command(filter.filter, FilterConfig, models=False))
app.command("update")(stage_command(update.update, UpdateConfig))
app.command("eval")(
    stage_command(
        evaluate.evaluate,
        EvalConfig,
        GenerateConfig,
        AdaptConfig,
        ArcConfig,
        ScoreConfig,
        CptConfig,
        ContinualConfig,
        JudgeConfig,
        without=("probe_limit",),  # an evaluation asks the whole probe
    )
)
app.command("regrade")(stage_command(regrade.regrade, JudgeConfig, models=False, retries=True))
app.command("loop")(stage_command(loop.loop, LoopConfig, RewardConfig, JudgeConfig))
app.command("ls")(ls.ls)
app.command("show")(show.show)
app.command("log")(log.log)
app.command("why")(why.why)
app.command("sql")(sql.sql)
app.command("report")(report.report)
app.command("tag")(tag.tag)
app.command("verify")(verify.verify)
app.command("gc")(gc.gc)
app.command("rm")(rm.rm)
app.command("doctor")(doctor.doctor)
benching.command("adapters")(bench.adapters)
benching.command("generate")(bench_generate.generate)


def _version(wanted: bool) -> None:
    if wanted:
        console.out(f"seal {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    store: Annotated[
        Path, typer.Option("--store", envvar="SEAL_STORE", help="The store's folder.")
    ] = Path("seal-store"),
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Open the store; commands that write make its folders."""
    console.configure(quiet=False)
    if store.exists() and not store.is_dir():
        raise typer.BadParameter(f"{store} is a file, not a store", param_hint="--store")
    if any(letter in str(store.absolute()) for letter in "*?["):  # DuckDB would take it for a glob
        raise typer.BadParameter(f"{store} has one of * ? [ in its path", param_hint="--store")
    ctx.obj = Workspace(store)


def main() -> None:
    """Entry point of the console script."""
    install()
    app()
