"""`seal bench generate`: how fast an engine writes self-edits here, at several batch sizes."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seal_cli import console
from seal_cli.commands.bench import (
    DeviceOption,
    JsonOption,
    SetOption,
    device_of,
    facts_of,
    numbers,
    processor,
)
from seal_cli.execution.models import ModelRef
from seal_cli.execution.runner import RunOptions
from seal_cli.execution.runtime import Runtime
from seal_cli.options import store_of
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.import_contexts import import_contexts
from seal_cli.pipeline.models import LocalModel
from seal_cli.session import Session
from seal_cli.settings import Settings
from seal_cli.store.workspace import Workspace
from stages import generate as stage
from stages.config import GenerateConfig
from stages.engines import ChosenEngine, Engine, Request, tokens_of
from stages.engines.settings import EndpointConfig

if TYPE_CHECKING:
    from stages.engines.bench import Measured, Overhead

SERVER = "openai"
BATCHED = ("transformers", "scripted", SERVER)

ModelOption = Annotated[
    str, typer.Option("--model", help="Model folder, hub name, update artifact, or tiny.")
]
EngineOption = Annotated[
    str | None,
    typer.Option("--engine", help="Engines, with commas between [default: the settings']."),
]
OverheadOption = Annotated[
    int,
    typer.Option(
        "--overhead", min=0, help="Pairs of runs with vLLM and with vLLM alone, to compare."
    ),
]
NumberOption = Annotated[int, typer.Option("-n", "--number", min=1, help="Self-edits.")]
ContextsOption = Annotated[
    str, typer.Option("--contexts", help="Contexts artifact, or tiny (its train split).")
]
BatchesOption = Annotated[
    str,
    typer.Option(
        "--decode-batch",
        help="Sequences decoded together, of a server requests at once: numbers, with commas.",
    ),
]
AddressOption = Annotated[
    str | None, typer.Option("--base-url", help="The server that the engine openai asks.")
]
ServedOption = Annotated[
    str | None, typer.Option("--server-model", help="What the server calls it [default: --model].")
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
    assignments: SetOption = [],  # noqa: B006  # typer's way
) -> None:
    """Let an engine write self-edits of contexts, and keep none of them."""
    from stages.engines import bench

    sizes = numbers(batches, "--decode-batch")
    asks = {"base_url": base_url} if base_url else {}
    session = Session(
        store_of(ctx), Settings(None, assignments), RunOptions(), {EndpointConfig: asks}, device
    )
    policy = session.resolver.model(model)
    config = session.resolve(GenerateConfig, policy)
    names = engine.split(",") if engine else [config.engine]
    config = replace(config, engine=next((n for n in names if n != SERVER), "transformers"))
    known = session.resolver.reference(policy, config.chat)
    # vLLM makes its batches itself.
    wanted = [(name, size) for name in names for size in (sizes if name in BATCHED else [number])]

    def choose(name: str, batch: int) -> Engine:
        if name == SERVER:
            return _server(session, server_model or model, batch, chat=known.chat)
        chosen = session.resolver.engine(name, policy)
        return session.runtime.engine(chosen, known, batch=batch)

    asked = list(islice(_requests(session, policy, config, contexts), number))
    facts, now = _facts(session, known, config, elsewhere=SERVER in names)
    results = []
    for result in bench.measure(choose, asked, wanted, now):
        results.append(result)
        said = f"{result.engine}, batch {result.decode_batch}"
        console.say(f"{said}: {result.tokens_per_second:.1f} tokens/s")
        if result.reason is not None:
            console.say(f"{result.n_failed} failed, the first: {result.reason}")
    added = _overhead(choose("vllm", number), asked, overhead, now) if overhead else None
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


def _requests(
    session: Session, model: LocalModel, config: GenerateConfig, contexts: str
) -> Iterator[Request]:
    """What `seal generate` would ask this model about these contexts."""
    if contexts == "tiny":
        with TemporaryDirectory() as folder:  # measuring leaves nothing in the user's store
            elsewhere = replace(session, workspace=Workspace(Path(folder)))
            context_set = ContextSet(elsewhere.run(import_contexts(["tiny"], split="train")))
            chosen = list(context_set.contexts.values())
    else:
        context_set = ContextSet(session.artifact(contexts, "contexts"))
        chosen = list(context_set.contexts.values())
    domain = context_set.domain
    recipe = domain.recipe(config.prompt)
    return stage.requests(chosen, policy=model.policy, domain=domain, recipe=recipe, config=config)


def _server(session: Session, name: str, at_once: int, *, chat: bool) -> Engine:
    """A server, asked by chat or for plain completions, none of its answers known from before."""
    model, chosen = session.resolver.endpoint(name, "on" if chat else "off", SERVER)
    assert isinstance(chosen.settings, EndpointConfig)
    settings = replace(chosen.settings, concurrency=at_once)
    with TemporaryDirectory() as folder:
        runtime = Runtime(Workspace(Path(folder)))
        return runtime.engine(ChosenEngine(SERVER, settings), model, batch=at_once)


def _overhead(
    engine: Engine, asked: Sequence[Request], runs: int, now: Callable[[], float]
) -> "Overhead":
    """What `seal` adds to vLLM on the same prompts."""
    from stages.engines import bench
    from stages.engines.vllm import VllmEngine

    assert isinstance(engine, VllmEngine)
    return bench.overhead(
        lambda: tokens_of(engine.complete(asked)) or 0,
        lambda: engine.directly(asked),
        runs,
        now,
    )


def _facts(
    session: Session, model: ModelRef, config: GenerateConfig, *, elsewhere: bool
) -> tuple[dict[str, Any], Callable[[], float]]:
    """When, where and with what, and the clock that goes with it.

    `elsewhere`: somebody works in another process, so only the time that passes counts.
    """
    if config.engine == "scripted":
        return facts_of(processor()) | {"clock": "wall"}, time.perf_counter
    from stages.training import bench

    lm = session.runtime.model(model)
    facts = facts_of(device_of(lm), "torch", "transformers")
    if elsewhere:
        return facts | {"clock": "wall"}, time.perf_counter
    return facts | {"clock": bench.clock(lm)}, lambda: bench.now(lm)


def _print(results: Sequence["Measured"]) -> None:
    headings = (
        "engine",
        "batch",
        "tokens/s",
        "s per self-edit",
        "tokens each",
        "same texts",
        "failed",
    )
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
