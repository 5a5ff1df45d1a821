"""What `seal bench` measures: work for trainers, requests for engines; and this machine."""

import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import Runtime
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.import_contexts import import_contexts
from seal_cli.pipeline.models import SHIPPED, LocalModel
from seal_cli.pipeline.resolve import Resolver
from seal_cli.store.workspace import Workspace
from stages import generate as stage
from stages.bench import generate
from stages.config import AdaptConfig, GenerateConfig, ScoreConfig
from stages.engines import ENGINES, ChosenEngine, Engine, Request, tokens_of
from stages.engines.settings import EndpointConfig
from stages.errors import ConfigError
from stages.records import Context, SelfEdit

if TYPE_CHECKING:
    from stages.bench.adapters import Work
    from stages.models import LanguageModel

LITTLE = ("tiny", "small")  # trained as the shipped model is, the other shapes as the paper's


def training(
    resolve: Resolver,
    runtime: Runtime,
    shape: str,
    name: str | None,
    self_edits: str | None,
    number: int,
) -> tuple["LanguageModel", list["Work"]]:
    """The model of this name, or one of random weights, and what it is trained on and asked.

    Raises ConfigError where there is no such shape, or no model that learns the self-edits.
    """
    from stages.bench import adapters

    if self_edits is not None and name is None:
        raise ConfigError("--self-edits goes with --model.", "Name the model that learns them.")
    if name is None and shape not in adapters.SHAPES:
        raise ConfigError(f"there is no shape {shape!r}.", f"Known: {', '.join(adapters.SHAPES)}.")
    model = resolve.model(name or "tiny") if name or shape in LITTLE else None
    config, scoring = resolve.config(AdaptConfig, model), resolve.config(ScoreConfig, model)
    if name is None or model is None:
        lm = adapters.random_model(shape, runtime.device)
    else:
        known = resolve.reference(model, config.chat, config.targets)
        lm = runtime.model(known)
        if self_edits is not None:
            found = _learned(resolve, self_edits, known, lm, config, scoring.answer_tokens)
            return lm, list(found)[:number]
    return lm, adapters.round0(lm, config, number, scoring.answer_tokens)


def _learned(
    resolve: Resolver,
    self_edits: str,
    model: ModelRef,
    lm: "LanguageModel",
    config: AdaptConfig,
    answer_tokens: int,
) -> Iterator["Work"]:
    """Self-edits of the store, and the questions about their contexts."""
    from stages.adapt import Inner, Student
    from stages.bench.adapters import Work
    from stages.training.reference import ReferenceTrainer

    source = resolve.artifact(self_edits, "self_edits")
    known = ContextSet(resolve.store.upstream(source, "contexts"))
    domain, contexts = known.domain, known.contexts
    student = Student(model.id, lm.tokenizer, model.targets)
    inner = Inner(student, ReferenceTrainer(lm), domain, config)
    for edit, job in inner.jobs(source.rows(SelfEdit), contexts):
        about, questions = contexts[edit.context_id], known.questions[edit.context_id]
        prompts = (domain.ask(about, question) for question in questions)
        asked = (Request(p, seed=0, max_tokens=answer_tokens, stop=domain.STOP) for p in prompts)
        yield Work(job, tuple(asked))


def requests(
    resolve: Resolver, model: LocalModel, config: GenerateConfig, contexts: str
) -> Iterator[Request]:
    """What `seal generate` would ask a model about these contexts; of `tiny` its train split."""
    if contexts in SHIPPED:  # measuring leaves nothing in the user's store
        spec = import_contexts([contexts], split="train")
        domain = spec.domain.domain
        chosen = [row for row in spec.records() if isinstance(row, Context)]
    else:
        known = ContextSet(resolve.artifact(contexts, "contexts"))
        domain, chosen = known.domain, list(known.contexts.values())
    recipe = domain.recipe(config.prompt)
    policy = model.policy
    return stage.requests(chosen, policy=policy, domain=domain, recipe=recipe, config=config)


@dataclass(frozen=True)
class Writers:
    """The engines that can write for a model; `served` is what a server calls it."""

    resolve: Resolver
    runtime: Runtime
    model: LocalModel
    reference: ModelRef
    served: str

    def engine(self, name: str, batch: int) -> Engine:
        """An engine; none of a server's answers is known from before."""
        if ENGINES[name].local:
            chosen = self.resolve.engine(name, self.model)
            return self.runtime.engine(chosen, self.reference, batch=batch)
        chat = "on" if self.reference.chat else "off"
        model, chosen = self.resolve.endpoint(self.served, chat, name)
        assert isinstance(chosen.settings, EndpointConfig)
        at_once = ChosenEngine(name, replace(chosen.settings, concurrency=batch))
        with TemporaryDirectory() as folder:
            runtime = Runtime(Workspace(Path(folder)), environ=self.runtime.environ)
            return runtime.engine(at_once, model, batch=batch)

    def overhead(
        self, asked: Sequence[Request], runs: int, now: Callable[[], float]
    ) -> generate.Overhead:
        """What `seal` adds to vLLM on the same prompts."""
        from stages.engines.vllm import VllmEngine

        engine = self.engine("vllm", len(asked))
        assert isinstance(engine, VllmEngine)

        def ours() -> int:
            return tokens_of(engine.complete(asked)) or 0

        return generate.overhead(ours, lambda: engine.directly(asked), runs, now)

    def clock(self, names: Sequence[str]) -> tuple[dict[str, Any], Callable[[], float]]:
        """Facts about what these engines run on, and the clock that goes with them.

        Of what runs in another process, only the time that passes counts.
        """
        runs_model = [ENGINES[name].runs_model for name in names]
        if not any(runs_model):
            return facts(processor()) | {"clock": "wall"}, time.perf_counter
        from stages.bench import adapters

        lm = self.runtime.model(self.reference)
        found = facts(device_of(lm), "torch", "transformers")
        if not all(runs_model):
            return found | {"clock": "wall"}, time.perf_counter
        return found | {"clock": adapters.clock(lm)}, lambda: adapters.now(lm)


def device_of(lm: "LanguageModel") -> str:
    """What the model computes on."""
    import torch

    if lm.device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{processor()}, {torch.get_num_threads()} thread(s)"


def processor() -> str:
    """What the system calls its processor."""
    return platform.processor() or platform.machine()


def facts(device: str, *packages: str) -> dict[str, Any]:
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
