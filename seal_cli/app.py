"""The `seal` command: its subcommands in pipeline order."""

from pathlib import Path
from typing import Annotated

import typer

from seal_cli import __version__, console
from seal_cli.boundary import Boundary
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
    pull,
    push,
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
    view,
    why,
)
from seal_cli.commands import eval as evaluate
from seal_cli.store.workspace import store_at

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
importing.command("contexts")(import_contexts.import_contexts)
importing.command("official")(import_official.import_official)
app.command("quiz")(quiz.quiz)
app.command("generate")(generate.generate)
app.command("adapt")(adapt.adapt)
app.command("score")(score.score)
app.command("filter")(filter.filter)
app.command("update")(update.update)
app.command("eval")(evaluate.evaluate)
app.command("regrade")(regrade.regrade)
app.command("loop")(loop.loop)
app.command("ls")(ls.ls)
app.command("show")(show.show)
app.command("log")(log.log)
app.command("why")(why.why)
app.command("sql")(sql.sql)
app.command("report")(report.report)
app.command("view")(view.view)
app.command("tag")(tag.tag)
app.command("push")(push.push)
app.command("pull")(pull.pull)
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
    ctx.obj = store_at(store)
