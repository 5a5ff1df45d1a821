"""`seal eval --regime continual`: sequences of self-edits, each on top of the ones before."""

from collections.abc import Iterator, Sequence
from functools import partial

from seal_cli.commands import adapt, generate, score
from seal_cli.commands.eval_settings import Evaluation
from seal_cli.runner import Job, Plan, Task, Work
from stages import continual, retention
from stages.continual import Lesson
from stages.errors import ConfigError
from stages.exam import Examination
from stages.records import Adapter, Answer, Metric, Record, Verdict

_SEQUENCE = "sequence "  # an item of its own each


def task(wanted: Evaluation) -> Task:
    """The unadapted model's answers, some contexts at a time; then the sequences, one by one."""
    session, student, settings = wanted.session, wanted.student, wanted.settings
    config = settings.continual
    assert config is not None
    own = config.key() | {"semantics": continual.SEMANTICS}

    def plan() -> Plan:
        # Merged into the model, one adapter is trained at a time; kept apart, as many as fit.
        slots = adapt.plan(session, student, settings.adapt, 1).slots if config.separate else 1
        return Plan(settings.score.decode_batch, slots)

    return Task(
        stage="eval",
        kind="metrics",
        inputs=wanted.inputs,
        aside=wanted.aside,
        material=wanted.material(continual=own),
        config=wanted.config,
        items=lambda: list(dict.fromkeys(i for dealt in _dealt(wanted) for i in dealt)),
        alone=[f"{_SEQUENCE}{number}" for number in range(config.sequences)],
        open=partial(_open, wanted),
        plan=plan,
        finish=partial(_metrics, wanted),
        tables=("self_edits", "adapters", "answers", "verdicts"),
        models=wanted.locations,
    )


def _dealt(wanted: Evaluation) -> list[list[str]]:
    """The contexts of each sequence. Raises ConfigError when there are not enough for one."""
    config, chosen = wanted.settings.continual, wanted.chosen()
    assert config is not None
    if len(chosen) < config.edits:
        raise ConfigError(
            f"a sequence of {config.edits} edits needs as many contexts with questions, "
            f"here are {len(chosen)}.",
            "Give fewer --edits, or more contexts.",
        )
    return continual.deal(
        chosen, edits=config.edits, sequences=config.sequences, seed=wanted.settings.eval.seed
    )


def _open(wanted: Evaluation, job: Job) -> Work:
    from stages.lora.merge import merging

    session, student, settings = wanted.session, wanted.student, wanted.settings
    domain, contexts = wanted.domain, wanted.contexts
    assert settings.continual is not None
    loaded = session.load(student)
    inner = adapt.inner_loop(session, student, domain, settings.adapt, job.slots)
    examiner = score.examiner(session, student, domain, settings.score, settings.adapt.rank)
    lesson = Lesson(
        questions=contexts.questions,
        examiner=examiner,
        write=generate.writer(
            session, wanted.model, wanted.writing, settings.generate, settings.adapt.rank
        ),
        rehearse=lambda edit, earlier: inner.rehearsed(edit, earlier, contexts.contexts),
        adapt=lambda edits: inner.self_edits(edits, contexts.contexts),
        merging=partial(merging, loaded.model),
        config=settings.continual,
        seed=settings.eval.seed,
        probe=wanted.prober(inner, examiner, loaded),
    )
    dealt = _dealt(wanted)

    def work(ids: Sequence[str]) -> Iterator[Record]:
        if ids[0].startswith(_SEQUENCE):
            number = int(ids[0].removeprefix(_SEQUENCE))
            chosen = [contexts.contexts[i] for i in dealt[number]]
            return continual.evaluate(number, chosen, lesson)
        return examiner.examine(
            [Examination(contexts.contexts[i], contexts.questions[i]) for i in ids]
        )

    return work


def _metrics(wanted: Evaluation, rows: Sequence[Record]) -> list[Metric]:
    config = wanted.settings.continual
    assert config is not None
    found = retention.matrix(
        [row for row in rows if isinstance(row, Adapter | Answer | Verdict)],
        dealt=_dealt(wanted),
        questions=wanted.contexts.questions,
        grader=wanted.settings.score.grader,
        config=config,
    )
    return list(retention.metrics(found, wanted.measured, config))
