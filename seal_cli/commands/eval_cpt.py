"""`seal eval --regime cpt`: one model trained on all contexts, by method, and asked about all."""

from collections.abc import Iterator, Sequence
from functools import partial

from seal_cli import console
from seal_cli.commands import adapt, generate, score
from seal_cli.commands.eval_settings import Evaluation
from seal_cli.runner import Job, Plan, Task, Work
from stages import cpt
from stages import eval as stage
from stages.exam import Examination
from stages.records import Adapter, Answer, Metric, Question, Record, SelfEdit, Verdict

METHODS = (cpt.PASSAGES, cpt.EDITS)


def task(wanted: Evaluation) -> Task:
    """Self-edits and unadapted answers, some contexts at a time; then each method's training."""
    session, student, settings = wanted.session, wanted.student, wanted.settings
    assert settings.cpt is not None

    def plan() -> Plan:
        slots = adapt.plan(session, student, settings.adapt, 1).slots
        return Plan(max(1, settings.generate.decode_batch // settings.eval.samples), slots)

    return Task(
        stage="eval",
        kind="metrics",
        inputs=wanted.inputs,
        aside=wanted.aside,
        material=wanted.material(cpt=settings.cpt.key() | {"semantics": cpt.SEMANTICS}),
        config=settings.keys(),
        items=wanted.chosen,
        alone=METHODS,
        open=partial(_open, wanted),
        plan=plan,
        finish=partial(_metrics, wanted),
        tables=("self_edits", "adapters", "answers", "verdicts"),
        models=wanted.locations,
    )


def _open(wanted: Evaluation, job: Job) -> Work:
    session, student, settings = wanted.session, wanted.student, wanted.settings
    assert settings.cpt is not None
    domain, questions = wanted.contexts.domain, _questions(wanted)
    inner = adapt.inner_loop(session, student, domain, settings.adapt, job.slots)
    examiner = score.examiner(session, student, domain, settings.score, settings.adapt.rank)
    loaded = session.load(student)
    # Only now: it is the last model loaded that stays at hand, and this may be another one.
    write = generate.writer(session, wanted.model, domain, settings.generate, settings.adapt.rank)
    learn = (
        cpt.full(loaded, settings.cpt.warmup or 0.0)
        if settings.cpt.full
        else cpt.lora(inner.trainer, loaded)
    )
    probe = wanted.prober(inner, examiner, loaded)
    planned = partial(
        cpt.planned,
        student=inner.student,
        domain=domain,
        adapting=settings.adapt,
        config=settings.cpt,
    )

    def train(method: str) -> Iterator[Record]:
        made = [row for row in job.made() if isinstance(row, SelfEdit)]
        edits = made if method == cpt.EDITS else []
        chosen = [wanted.contexts.contexts[i] for i in wanted.chosen()]
        console.say(f"{method}: training on {len(chosen)} passages and {len(edits)} self-edits.")
        return cpt.evaluate(
            method,
            chosen,
            edits,
            questions=questions,
            plan=planned,
            learn=learn,
            examiner=examiner,
            measured=wanted.measured,
            probe=probe,
        )

    def prepare(ids: Sequence[str]) -> Iterator[Record]:
        chosen = [wanted.contexts.contexts[i] for i in ids]
        yield from write(chosen)
        asked = [c for c in chosen if c.context_id in questions]
        yield from examiner.examine([Examination(c, questions[c.context_id]) for c in asked])

    return lambda ids: train(ids[0]) if ids[0] in METHODS else prepare(ids)


def _questions(wanted: Evaluation) -> dict[str, list[Question]]:
    """The questions that are asked, by context."""
    assert wanted.settings.cpt is not None
    return cpt.drawn(wanted.contexts.questions, wanted.chosen(), wanted.settings.cpt.questions)


def _metrics(wanted: Evaluation, rows: Sequence[Record]) -> list[Metric]:
    settings = wanted.settings
    return list(
        stage.summarise(
            [row for row in rows if isinstance(row, Adapter | Answer | Verdict)],
            questions=_questions(wanted),
            policy=wanted.model.policy,
            dataset=wanted.source.id,
            grader=settings.score.grader,
            regime="cpt",
        )
    )
