"""`seal bench adapters`: how long adapters take to train and score here, and how they compare.

And what all of `seal bench` says beside its numbers: when, where and with what.
"""

import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from seal_cli import console
from seal_cli.options import store_of
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.models import LocalModel, resolve_model
from seal_cli.settings import Settings
from seal_cli.store.workspace import Workspace
from stages.config import AdaptConfig, ScoreConfig
from stages.errors import ConfigError
from stages.records import SelfEdit

if TYPE_CHECKING:
    from stages.models import LanguageModel
    from stages.training.bench import Work

LITTLE = ("tiny", "small")
ShapeOption = Annotated[
    str, typer.Option("--shape", help="Random weights: qwen2.5-7b, llama-3.2-1b, small, tiny.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Model folder or tiny, in place of a shape.")
]
EditsOption = Annotated[
    str | None,
    typer.Option("--self-edits", help="Train on these with --model [default: round-0 lengths]."),
]
NumberOption = Annotated[int, typer.Option("-n", "--number", min=2, help="Self-edits.")]
SlotsOption = Annotated[str, typer.Option("--slots", help="Numbers of slots, with commas.")]
PaperOption = Annotated[
    bool, typer.Option("--paper/--no-paper", help="Also the paper's padded procedure.")
]
NoiseOption = Annotated[
    bool, typer.Option("--noise", help="Also one at a time with another attention kernel.")
]
RivalsOption = Annotated[
    bool, typer.Option("--rivals/--no-rivals", help="Also a careful loop, and TRL if installed.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or mps.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one setting.")
]


def adapters(
    ctx: typer.Context,
    shape: ShapeOption = "tiny",
    model: ModelOption = None,
    self_edits: EditsOption = None,
    number: NumberOption = 64,
    slots: SlotsOption = "8,16,32,64",
    paper: PaperOption = True,
    noise: NoiseOption = False,
    rivals: RivalsOption = True,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
    assignments: SetOption = [],  # noqa: B006  # typer's way
) -> None:
    """Train and score adapters one at a time and batched, in one run."""
    from stages.training import bench

    wanted = numbers(slots, "--slots")
    lm, work = _work(
        store_of(ctx), Settings(None, assignments), shape, model, self_edits, number, device
    )
    results = []
    for result in bench.measure(lm, work, wanted, paper=paper, noise=noise, rivals=rivals):
        results.append(result)
        console.say(f"{result.method}, {result.slots} slots: {result.seconds:.4f} s a self-edit")
    facts = facts_of(device_of(lm), "torch", "transformers", "peft") | {
        "clock": bench.clock(lm),
        "what": model or shape,
        "lengths": self_edits or "round 0",
    }
    answer = facts | {"results": [asdict(r) for r in results], **bench.ratios(results)}
    if as_json:
        console.out_json(answer)
    else:
        console.out_rich(_table(answer))


def _work(
    workspace: Workspace,
    settings: Settings,
    shape: str,
    name: str | None,
    self_edits: str | None,
    number: int,
    device: str,
) -> tuple["LanguageModel", list["Work"]]:
    """The model, and what it is trained on and asked."""
    from stages.models import load
    from stages.training import bench

    if self_edits is not None and name is None:
        raise ConfigError("--self-edits goes with --model.", "Name the model that learns them.")
    if name is None and shape not in bench.SHAPES:
        raise ConfigError(f"there is no shape {shape!r}.", f"Known: {', '.join(bench.SHAPES)}.")
    # The little shapes are trained as the shipped model is, the others as the paper's.
    settled = resolve_model(workspace, name or "tiny") if name or shape in LITTLE else None
    own = settled.path if settled else None
    config, scoring = (
        settings.resolve(AdaptConfig, None, own),
        settings.resolve(ScoreConfig, None, own),
    )
    if name is None or settled is None:
        lm = bench.random_model(shape, device)
    else:
        lm = load(settled.path.resolve(), device)
        if self_edits is not None:
            return lm, _of_artifact(workspace, settled, lm, config, scoring, self_edits)[:number]
    return lm, bench.round0(lm, config, number, scoring.answer_tokens)


def _of_artifact(
    workspace: Workspace,
    model: LocalModel,
    lm: "LanguageModel",
    config: AdaptConfig,
    scoring: ScoreConfig,
    self_edits: str,
) -> list["Work"]:
    """Self-edits of the store, and the questions of their passages."""
    from stages.adapt import Student, jobs
    from stages.engines import Request
    from stages.models import weight_shapes
    from stages.training.bench import Work
    from stages.training.targets import resolve_targets

    source = workspace.artifact(workspace.resolve(self_edits))
    context_set = ContextSet(workspace.upstream(source, "contexts"))
    domain, contexts = context_set.domain, context_set.contexts
    targets = resolve_targets(config.targets, weight_shapes(model.path))
    student = Student(model.id, lm.tokenizer, targets)
    found = jobs(
        list(source.rows(SelfEdit)),
        contexts=contexts,
        student=student,
        domain=domain,
        config=config,
    )
    return [
        Work(
            job,
            tuple(
                Request(
                    domain.ask(contexts[edit.context_id], question),
                    seed=0,
                    max_tokens=scoring.answer_tokens,
                    stop="\n",
                )
                for question in context_set.questions[edit.context_id]
            ),
        )
        for edit, job in found
    ]


def device_of(lm: "LanguageModel") -> str:
    """What the model computes on."""
    import torch

    if lm.device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{processor()}, {torch.get_num_threads()} thread(s)"


def processor() -> str:
    """What the system calls its processor."""
    return platform.processor() or platform.machine()


def facts_of(device: str, *packages: str) -> dict[str, Any]:
    """When, where and with what."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "versions": {name: metadata.version(name) for name in packages},
        "command": ["seal", *sys.argv[1:]],
    }


def numbers(text: str, option: str) -> list[int]:
    """Numbers with commas between. Raises ConfigError for anything else."""
    try:
        found = [int(number) for number in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise ConfigError(f"{option} {text} is not understood.", "E.g. 8,16,32.")
    return found


def _table(answer: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("method", "slots", "train s", "score s", "error", "same answers", "of floor"):
        table.add_column(title)
    for r in answer["results"]:
        parity = f"{r['parity']['median']:.1e} {r['parity']['max']:.1e}" if r["parity"] else "-"
        same = "-" if r["same_answers"] is None else f"{r['same_answers']:.3f}"
        table.add_row(
            r["method"] + (" *" if r["extrapolated"] else ""),
            str(r["slots"]),
            f"{r['train_seconds_per_self_edit']:.4f}",
            f"{r['score_seconds_per_self_edit']:.4f}",
            parity,
            same,
            f"{r['floor']:.2f}",
        )
    speedups = ", ".join(f"{k} {v}" for k, v in answer.items() if k.startswith("speedup"))
    table.caption = f"{speedups}; * from a few steps"
    return table
