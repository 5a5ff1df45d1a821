"""What the regimes of `seal eval` share: their settings, their key, and the probe set."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from seal_cli.commands import adapt, generate, score
from seal_cli.commands.adapt import Inner
from seal_cli.endpoints import grader_location
from seal_cli.inputs import ContextSet
from seal_cli.models import LocalModel
from seal_cli.probe import refuse_shared
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages import eval as stage
from stages import fewshot, probe
from stages.adapt import tokenised
from stages.config import (
    AdaptConfig,
    Config,
    ContinualConfig,
    CptConfig,
    EvalConfig,
    GenerateConfig,
    ScoreConfig,
)
from stages.domains import Domain
from stages.errors import ConfigError
from stages.exam import Examiner
from stages.identity import derive_seed
from stages.models import LanguageModel
from stages.probe import Probe
from stages.tokens import learnable

_OWN: dict[str, type[Config]] = {"cpt": CptConfig, "continual": ContinualConfig}


@dataclass(frozen=True)
class Settings:
    """What an evaluation needs to know: how to measure, write, adapt and score."""

    eval: EvalConfig
    generate: GenerateConfig
    adapt: AdaptConfig
    score: ScoreConfig
    oracle: str | None = None  # its self-edit
    cpt: CptConfig | None = None
    continual: ContinualConfig | None = None

    def keys(self) -> dict[str, dict[str, Any]]:
        """The configurations, as far as they decide what comes out."""
        names = ("eval", "generate", "adapt", "score", "cpt", "continual")
        return {name: config.key() for name in names if (config := getattr(self, name))}


@dataclass(frozen=True)
class Evaluation:
    """One evaluation to be: who writes and who is adapted, contexts, perhaps a probe set, how."""

    session: Session
    source: Artifact
    model: LocalModel
    student: LocalModel
    settings: Settings
    contexts: ContextSet
    probe: ContextSet | None

    @property
    def inputs(self) -> list[Artifact]:
        """The artifacts it is made from; the contexts first, as lineage goes to the first."""
        return [
            self.source,
            *{a.id: a for a in self.model.inputs + self.student.inputs}.values(),
        ]

    @property
    def aside(self) -> list[Artifact]:
        """The probe: an input that the rows are not about."""
        return [self.probe.artifact] if self.probe else []

    @property
    def locations(self) -> dict[str, dict[str, str]]:
        """Where its models were found, for the manifest."""
        judge = grader_location(self.session, self.settings.score.grader)
        return self.model.location() | self.student.location() | judge

    @property
    def measured(self) -> stage.Measured:
        """What its metrics have in common."""
        regime: Any = self.settings.eval.regime
        grader = self.settings.score.grader
        return stage.Measured(self.model.policy, self.source.id, regime, grader)

    def chosen(self) -> list[str]:
        """The contexts that are evaluated on, in order: those that have questions."""
        self.contexts.require_questions()
        ids = self.contexts.slice(self.settings.eval.limit, self.settings.eval.offset)
        return [i for i in ids if self.contexts.questions[i]]

    def material(self, **own: Any) -> dict[str, Any]:
        """What decides the metrics: everything that decides the rows they are made from."""
        session, student, settings = self.session, self.student, self.settings
        domain = self.contexts.domain
        found = {
            "semantics": [stage.SEMANTICS, fewshot.SEMANTICS],
            "config": settings.eval.key(),
            "oracle": settings.oracle,
            "generate": generate.material(session, self.model, domain, settings.generate),
            "adapt": adapt.material(session, student, domain, settings.adapt),
            "score": score.material(session, student, domain, settings.score),
        }
        if self.probe is not None:
            own["probe"] = {"contexts": self.probe.artifact.id, "semantics": probe.SEMANTICS}
        return found | own

    def prober(self, inner: Inner, examiner: Examiner, loaded: LanguageModel) -> Probe | None:
        """The probe set as this model is asked about it; it is asked at once, before any change."""
        if self.probe is None:
            return None
        asked = [c for i, c in self.probe.contexts.items() if self.probe.questions[i]]
        found = Probe(
            contexts=asked,
            questions=self.probe.questions,
            examiner=examiner,
            lm=loaded,
            rows=learnable(
                [
                    tokenised(inner.student, example, inner.config)
                    for context in asked
                    for example in inner.domain.passage_lessons(context)
                ]
            ),
        )
        assert len(found.before) == len(asked)
        return found


def evaluation(
    session: Session,
    source: Artifact,
    model: LocalModel,
    student: LocalModel,
    own: dict[str, Any],
    probe_set: Artifact | None = None,
) -> Evaluation:
    """An evaluation with its settings; `own` are settings of the loop's own. Raises ConfigError."""
    context_set = ContextSet(source)
    probed = ContextSet(probe_set) if probe_set else None
    if probed is not None:
        _check_probe(probed, context_set)
    scoring = score.judging(session, student, source)
    settings = _settings(session, model, student, context_set.domain, scoring, own)
    if probed is not None and settings.eval.regime == "fewshot":
        raise ConfigError("--probe is not for the regime fewshot.", "Leave it out.")
    continual = settings.continual
    if continual and continual.gate is not None and continual.gate_on == "probe" and not probed:
        raise ConfigError("--gate-on probe needs a probe set.", "Give one with --probe CONTEXTS.")
    found = Evaluation(session, source, model, student, settings, context_set, probed)
    if probed is not None:
        refuse_shared(probed, found.chosen())
    return found


def _check_probe(probed: ContextSet, contexts: ContextSet) -> None:
    probed.require_questions()
    if probed.domain.NAME != contexts.domain.NAME:
        raise ConfigError(
            f"the probe {probed.artifact.id} is about {probed.domain.NAME}.",
            f"Give contexts of {contexts.domain.NAME}, as those that are evaluated on.",
        )


def _settings(
    session: Session,
    model: LocalModel,
    student: LocalModel,
    domain: Domain,
    scoring: ScoreConfig,
    own: dict[str, Any],
) -> Settings:
    """The configurations; what [eval] has in common with the others stands in their place."""
    config = replace(session.resolve(EvalConfig, model), **own)
    if config.regime == "default":
        config = replace(config, regime=domain.REGIME)
    _check_regime(session, config, domain)
    # Seeds of its own: an evaluation must not meet the very samples that a round selected from.
    seed = derive_seed(config.seed, "eval")
    writing = session.resolve(GenerateConfig, model)
    adapting = session.resolve(AdaptConfig, student)
    cpt, continual = config.regime == "cpt", config.regime == "continual"
    found = Settings(
        eval=config,
        generate=replace(writing, samples=config.samples, seed=seed, limit=0, offset=0),
        adapt=replace(adapting, repeats=config.repeats, seed=seed),
        score=scoring,
        oracle=_oracle(config),
        cpt=session.resolve(CptConfig, model) if cpt else None,
        continual=session.resolve(ContinualConfig, model) if continual else None,
    )
    _check_engines(found)
    return found


def _check_engines(settings: Settings) -> None:
    """Raise ConfigError where the weights change in memory and the engine has its own copy."""
    merged = settings.continual is not None and not settings.continual.separate
    full = settings.cpt is not None and settings.cpt.full
    asked = [settings.score.engine] if full else []
    asked = [settings.generate.engine, settings.score.engine] if merged else asked
    if any(engine == "vllm" for engine in asked):
        raise ConfigError(
            "vLLM does not see weights that change in this process.",
            "Leave out --engine vllm, or keep adapters apart (--separate; no --full).",
        )


def _check_regime(session: Session, config: EvalConfig, domain: Domain) -> None:
    """Raise ConfigError for a regime not for these contexts, or a flag not for the regime."""
    known = {"fewshot": ("fewshot",), "single": ("single", "cpt", "continual")}[domain.REGIME]
    if config.regime not in known:
        raise ConfigError(
            f"the regime {config.regime} is not for contexts of {domain.NAME}.",
            f"Leave it out, or give {' or '.join(known)}.",
        )
    shared = _names(AdaptConfig) | _names(EvalConfig) | _names(GenerateConfig)
    for regime, cls in _OWN.items():
        given = session.flags.get(cls, {})
        flags = [name for name in _names(cls) - shared if given.get(name) is not None]
        if regime != config.regime and flags:
            flag = sorted(flags)[0].replace("_", "-")
            raise ConfigError(f"--{flag} goes with --regime {regime}.", "Leave it out.")
    if config.regime in _OWN and config.repeats > 1:
        raise ConfigError(
            f"the regime {config.regime} trains once.", "Leave out --repeats; use other seeds."
        )
    if config.regime == "continual" and config.samples > 1:
        raise ConfigError("an edit is one self-edit.", "Leave out --samples.")


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
