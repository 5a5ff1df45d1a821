"""`seal bench generate`: how fast an engine writes self-edits here, at several batch sizes."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from seal_cli import console
from seal_cli.options import DeviceOption, JsonOption, SetOption, seal_of
from seal_cli.pipeline.bench import Writers, numbers, requests
from stages.config import GenerateConfig
from stages.engines import ENGINES

if TYPE_CHECKING:
    from stages.bench.generate import Measured

ModelOption = Annotated[
    str, typer.Option("--model", help="Model folder, hub name, update artifact, or tiny.")
]
EngineOption = Annotated[
    str | None,
    typer.Option("--engine", help="Engines, separated by commas. [default: the settings']"),
]
OverheadOption = Annotated[
    int,
    typer.Option("--overhead", min=0, help="Pairs of runs of this engine and of vLLM alone."),
]
NumberOption = Annotated[int, typer.Option("-n", "--number", min=1, help="Self-edits.")]
ContextsOption = Annotated[
    str, typer.Option("--contexts", help="Contexts artifact, or tiny (its train split).")
]
BatchesOption = Annotated[
    str,
    typer.Option(
        "--decode-batch",
        help="Sequences decoded together, or concurrent requests of a server; separated by commas.",
    ),
]
AddressOption = Annotated[
    str | None, typer.Option("--base-url", help="Server of the engine openai.")
]
ServedOption = Annotated[
    str | None, typer.Option("--server-model", help="Model name on the server. [default: --model]")
]


def generate(
    ctx: typer.Context,
    model: ModelOption = "tiny",
    engine: EngineOption = None,
    number: NumberOption = 64,
    contexts: ContextsOption = "tiny",
    batches: BatchesOption = "1,4,16,64",
    overhead: OverheadOption = 0,
    base_url: AddressOption = None,
    server_model: ServedOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
    assignments: SetOption = None,
) -> None:
    """Let an engine write self-edits, and keep none of them."""
    from stages.bench import generate as bench

    sizes = numbers(batches, "--decode-batch")
    address = [f"endpoint.base_url={base_url}"] if base_url else []
    seal = seal_of(ctx, [*(assignments or ()), *address], device=device)
    resolve = seal.resolver()
    policy = resolve.model(model)
    config = resolve.config(GenerateConfig, policy)
    names = engine.split(",") if engine else [config.engine]
    for name in names:
        config = replace(config, engine=name)  # raises where there is none
    known = resolve.reference(policy, config.chat)
    writers = Writers(resolve, seal.runtime, policy, known, server_model or model)
    asked = list(islice(requests(resolve, policy, config, contexts), number))
    facts, now = writers.clock(names)
    # What makes its batches itself is measured once.
    wanted = [(n, s) for n in names for s in (sizes if ENGINES[n].at_once == 1 else [number])]
    results = []
    for result in bench.measure(writers.engine, asked, wanted, now):
        results.append(result)
        said = f"{result.engine}, batch {result.decode_batch}"
        console.say(f"{said}: {result.tokens_per_second:.1f} tokens/s")
        if result.reason is not None:
            console.say(f"{result.n_failed} failed, the first: {result.reason}")
    added = writers.overhead(asked, overhead, now) if overhead else None
    if as_json:
        what = {"model": model, "contexts": contexts, "config": config.key()}
        found = {"results": [asdict(r) for r in results]}
        console.out_json(facts | what | found | (asdict(added) if added else {}))
        return
    _print(results)
    if added:
        console.out(
            f"overhead {added.overhead:+.1%}: {added.seconds:.2f} s, vLLM alone "
            f"{added.direct_seconds:.2f} s, medians of {added.runs} pairs"
        )


def _print(results: Sequence["Measured"]) -> None:
    speed = ("tokens/s", "s per self-edit", "tokens each")
    headings = ("engine", "batch", *speed, "same texts", "failed")
    rows = [
        [
            r.engine,
            str(r.decode_batch),
            f"{r.tokens_per_second:.1f}",
            f"{r.seconds_per_self_edit:.4g}",
            f"{r.n_tokens / r.n_self_edits:.1f}",
            f"{r.same_texts:.3f}",
            str(r.n_failed),
        ]
        for r in results
    ]
    console.out_columns(headings, rows, right=headings[1:])
