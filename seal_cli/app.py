"""The `seal` command: its subcommands by purpose. Each is imported when it is called."""

from pathlib import Path
from typing import Annotated, ClassVar

import typer

from seal_cli import __version__, console
from seal_cli.boundary import Boundary
from seal_cli.groups import Group, of_each


class Seal(Boundary, Group):
    """What `seal` has besides the groups `import` and `bench`."""

    TABLE: ClassVar = {
        "Start": {
            "init": ("init:init", "Make an empty store and a settings file with every key."),
            "doctor": ("doctor:doctor", "Check this machine: packages, devices, memory."),
            "bench": ("", "Measure this machine."),
        },
        "Pipeline": {
            "import": ("", "Bring contexts, or released results, into the store."),
            "quiz": ("quiz:quiz", "Write questions about passages that have none."),
            "generate": ("generate:generate", "Write self-edits for every context."),
            "adapt": ("adapt:adapt", "Train one LoRA per self-edit and repeat, and keep it."),
            "score": (
                "score:score",
                "Ask adapted students the questions, and reward the self-edits.",
            ),
            "filter": ("filter:filter", "Select the self-edits to learn from."),
            "update": ("update:update", "Finetune the policy on the selected self-edits."),
            "eval": ("eval:evaluate", "Measure how well a policy adapts itself, or a student."),
            "regrade": ("regrade:regrade", "Grade stored answers again with another grader."),
            "loop": ("loop:loop", "Run rounds of generate, score, filter, update and eval."),
        },
        "Look": {
            "ls": ("ls:ls", "List the artifacts of the store, oldest first."),
            "show": ("show:show", "Show an artifact: its settings, inputs and first rows."),
            "log": ("log:log", "Draw the lineage of an artifact."),
            "why": ("why:why", "Show what a self-edit changed, question by question."),
            "sql": ("sql:sql", "Query the store's tables with SQL, read-only."),
            "report": ("report:report", "Print a named report: the paper's tables, rounds, cost."),
            "view": ("view:view", "Write one HTML page to browse self-edits."),
        },
        "Keep": {
            "tag": ("tag:tag", "Give an artifact a name; alone, list all names."),
            "push": ("push:push", "Send artifacts and their inputs to another place."),
            "pull": ("pull:pull", "Fetch artifacts and their inputs from another place."),
            "verify": ("verify:verify", "Compare every file of the store with its digest."),
            "gc": ("gc:gc", "List what the store no longer needs; --yes deletes it."),
            "rm": ("rm:rm", "Move artifacts to the store's trash, with --yes."),
        },
    }


class Import(Group):
    """What `seal import` has."""

    TABLE: ClassVar = {
        "Commands": {
            "contexts": (
                "import_contexts:import_contexts",
                "Import passages and questions, or tasks, from files.",
            ),
            "official": (
                "import_official:import_official",
                "Import the released SEAL data and results.",
            ),
        }
    }


class Bench(Group):
    """What `seal bench` has."""

    TABLE: ClassVar = {
        "Commands": {
            "adapters": ("bench:adapters", "Train and score adapters one at a time and batched."),
            "generate": (
                "bench_generate:generate",
                "Let an engine write self-edits, and keep none of them.",
            ),
        }
    }


app = typer.Typer(
    cls=Seal,
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
for name, table, line in (
    ("import", Import, "Bring contexts, or released results, into the store."),
    ("bench", Bench, "Measure this machine."),
):
    group = typer.Typer(cls=table, help=line, no_args_is_help=True, callback=of_each)
    app.add_typer(group, name=name)


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
    """Say where the store is; commands that write make its folders."""
    console.configure(quiet=False)
    ctx.obj = store
