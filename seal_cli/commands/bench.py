"""`seal bench adapters`: how long adapters take to train and score here, and how they compare."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from seal_cli import console
from seal_cli.options import DeviceOption, JsonOption, SetOption, seal_of
from seal_cli.pipeline.bench import device_of, facts, numbers, training

ShapeOption = Annotated[
    str, typer.Option("--shape", help="Random weights: qwen2.5-7b, llama-3.2-1b, small, tiny.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Model folder or tiny, instead of a shape.")
]
EditsOption = Annotated[
    str | None,
    typer.Option("--self-edits", help="With --model: train on these. [default: round-0 lengths]"),
]
NumberOption = Annotated[int, typer.Option("-n", "--number", min=2, help="Self-edits.")]
SlotsOption = Annotated[str, typer.Option("--slots", help="Numbers of slots, separated by commas.")]
PaperOption = Annotated[
    bool, typer.Option("--paper/--no-paper", help="Also the paper's padded procedure.")
]
NoiseOption = Annotated[
    bool, typer.Option("--noise", help="Also one at a time with another attention kernel.")
]
RivalsOption = Annotated[
    bool, typer.Option("--rivals/--no-rivals", help="Also a careful loop, and TRL if installed.")
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
    assignments: SetOption = None,
) -> None:
    """Train and score adapters one at a time and batched."""
    from stages.bench import adapters as bench

    wanted = numbers(slots, "--slots")
    seal = seal_of(ctx, assignments, device=device)
    resolve = seal.resolver()
    lm, work = training(resolve, seal.runtime, shape, model, self_edits, number)
    results = []
    for result in bench.measure(lm, work, wanted, paper=paper, noise=noise, rivals=rivals):
        results.append(result)
        console.say(f"{result.method}, {result.slots} slots: {result.seconds:.4f} s a self-edit")
    answer = facts(device_of(lm), "torch", "transformers", "peft") | {
        "clock": bench.clock(lm),
        "what": model or shape,
        "lengths": self_edits or "round 0",
        "results": [asdict(r) for r in results],
        **bench.ratios(results),
    }
    if as_json:
        console.out_json(answer)
    else:
        console.out_rich(_table(answer))


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
