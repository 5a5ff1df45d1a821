"""eval: policy and contexts -> metrics; here in the regimes single and fewshot."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, Plan, Work
from seal_cli.pipeline.adapt import adapting
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.continual import Continual
from seal_cli.pipeline.cpt import Cpt
from seal_cli.pipeline.evaluation import Evaluation
from seal_cli.pipeline.generate import writing
from seal_cli.pipeline.models import LocalModel
from seal_cli.pipeline.probe import ChosenProbe
from seal_cli.pipeline.resolve import Resolver
from seal_cli.pipeline.score import examining
from seal_cli.settings import Takes
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages import eval as stage
from stages.config import (
    AdaptConfig,
    ContinualConfig,
    CptConfig,
    EvalConfig,
    GenerateConfig,
    ScoreConfig,
)
from stages.domains import Domain
from stages.domains.arc.settings import ArcConfig
from stages.engines import LOCAL
from stages.errors import ConfigError
from stages.fields import Config
from stages.grading.judge import JudgeConfig
from stages.identity import derive_seed
from stages.records import Adapter, Record
from stages.regimes import fewshot

TAKES = Takes(
    EvalConfig,
    GenerateConfig,
    AdaptConfig,
    ArcConfig,
    ScoreConfig,
    CptConfig,
    ContinualConfig,
    JudgeConfig,
    shards=True,
    without=("probe_limit",),  # an evaluation asks the whole probe
    choices={"engine": LOCAL},
)
_OWN: dict[str, type[Config]] = {"cpt": CptConfig, "continual": ContinualConfig}


@dataclass(frozen=True, kw_only=True)
class ByContext(Evaluation):
    """The regimes single and fewshot. `oracle` is a self-edit for every task."""

    SEMANTICS = (stage.SEMANTICS, fewshot.SEMANTICS)

    oracle: str | None

    @property
    def fewshot(self) -> bool:
        """Whether the contexts are tasks."""
        return self.measuring.regime == "fewshot"

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        return (self.chosen(store).ids,)

    def plan(self, runtime: Runtime, store: Workspace) -> Plan:
        """A context gets its passage's adapters, or the oracle's, and those of its self-edits."""
        per_context = self.measuring.repeats * (1 + self.measuring.samples)
        return self.adapting.plan(runtime, per_context)

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Contexts -> self-edits, adapters, answers and verdicts."""
        known = self.chosen(store).known
        inner, examiner = self.parts(runtime, job.plan.slots)
        probe = self.open_probe(runtime, store, inner, examiner)
        evaluate = (
            partial(fewshot.evaluate, oracle=self.oracle)
            if self.fewshot
            else partial(stage.evaluate, adapt_to_passages=inner.adapt_to_passages, probe=probe)
        )
        write = self.writing.open(runtime, self.rank)

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return evaluate(
                [known.contexts[i] for i in batch.items],
                questions=known.questions,
                examiner=examiner,
                write=write,
                adapt=lambda edits: inner.adapt(edits, known.contexts),
            )

        return work

    def finish(self, store: Workspace, rows: Iterable[Record]) -> list[Record]:
        methods: Sequence[str] = stage.METHODS
        if self.fewshot:
            methods = fewshot.METHODS if self.oracle else fewshot.METHODS[:-1]
        chosen = self.chosen(store)
        questions = {i: chosen.known.questions[i] for i in chosen.ids}
        found = stage.summarise(rows, questions=questions, measured=self.measured, methods=methods)
        adapters = [row for row in rows if isinstance(row, Adapter)]
        return [*found, *(stage.probed(adapters, self.measured) if self.probe else ())]


def evaluate(
    resolve: Resolver,
    source: Artifact,
    model: LocalModel,
    student: LocalModel | None = None,
    probe: Artifact | None = None,
    **own: Any,
) -> Evaluation:
    """The run that was asked for; `own` are settings of the loop's own.

    `model` writes the self-edits; `student`, or else `model` itself, is adapted and examined.
    Raises ConfigError for settings that do not fit each other or the contexts.
    """
    known, adapted = ContextSet(source), student or model
    domain = known.domain
    scoring = resolve.config(ScoreConfig, adapted)
    config = replace(resolve.config(EvalConfig, model), **own)
    if config.regime == "default":
        config = replace(config, regime=domain.REGIME)
    _check_regime(resolve, config, domain)
    # Seeds of its own: an evaluation must not meet the very samples that a round selected from.
    seed = derive_seed(config.seed, "eval")
    generating = resolve.config(GenerateConfig, model)
    training = resolve.config(AdaptConfig, adapted)
    parts: dict[str, Any] = {
        "contexts": source.id,
        "domain": resolve.domain(known, adapted),
        "measuring": config,
        "writing": writing(
            resolve,
            model,
            known,
            replace(generating, samples=config.samples, seed=seed, limit=0, offset=0),
        ),
        "adapting": adapting(
            resolve, adapted, replace(training, repeats=config.repeats, seed=seed)
        ),
        "examining": examining(resolve, adapted, domain, scoring),
        "probe": ChosenProbe(probe.id, 0) if probe else None,
    }
    return _of_regime(resolve, model, config, parts)


def _of_regime(
    resolve: Resolver, model: LocalModel, config: EvalConfig, parts: dict[str, Any]
) -> Evaluation:
    oracle = _oracle(config)
    if config.regime == "cpt":
        return Cpt(cpt=resolve.config(CptConfig, model), **parts)
    if config.regime == "continual":
        return Continual(continual=resolve.config(ContinualConfig, model), **parts)
    if parts["probe"] and config.regime == "fewshot":
        raise ConfigError("--probe is not for the regime fewshot.", "Leave it out.")
    return ByContext(oracle=oracle, **parts)


def _check_regime(resolve: Resolver, config: EvalConfig, domain: Domain) -> None:
    """Raise ConfigError for a regime not for these contexts, or a flag not for the regime."""
    known = {"fewshot": ("fewshot",), "single": ("single", "cpt", "continual")}[domain.REGIME]
    if config.regime not in known:
        raise ConfigError(
            f"the regime {config.regime} is not for contexts of {domain.NAME}.",
            f"Leave it out, or give {' or '.join(known)}.",
        )
    shared = _names(AdaptConfig) | _names(EvalConfig) | _names(GenerateConfig)
    for regime, cls in _OWN.items():
        given = resolve.flags.get(cls, {})
        flags = [name for name in _names(cls) - shared if given.get(name) is not None]
        if regime != config.regime and flags:
            flag = sorted(flags)[0].replace("_", "-")
            raise ConfigError(f"--{flag} goes with --regime {regime}.", "Leave it out.")
    if config.regime in _OWN and config.repeats > 1:
        raise ConfigError(
            f"the regime {config.regime} trains once.", "Leave out --repeats; use other seeds."
        )
    if config.regime == "continual" and config.samples > 1:
        raise ConfigError(
            "the regime continual takes one self-edit of each context.", "Leave out --samples."
        )


def _names(cls: type[Config]) -> set[str]:
    return {field.name for field in fields(cls)}


def _oracle(config: EvalConfig) -> str | None:
    """The self-edit in the file that --oracle names. Raises ConfigError."""
    if not config.oracle:
        return None
    if config.regime != "fewshot":
        raise ConfigError("--oracle goes with the regime fewshot.", "Leave it out.")
    try:
        return Path(config.oracle).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{config.oracle} is not a readable file: {error}.", "Give a file with one tool call."
        ) from error
