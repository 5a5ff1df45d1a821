"""`seal eval`: policy and contexts -> metrics, with everything they were computed from.

The regimes single and fewshot, a context at a time; `eval_cpt` and `eval_continual` have the rest.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import typer

from seal_cli.commands import adapt, eval_continual, eval_cpt, generate, score
from seal_cli.commands.eval_settings import Evaluation, evaluation
from seal_cli.engines import require_local
from seal_cli.models import LocalModel, resolve_model
from seal_cli.options import ContextsArg, StudentOption
from seal_cli.runner import Job, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages import eval as stage
from stages import fewshot as tasks
from stages.config import GenerateConfig
from stages.records import Adapter, Answer, Metric, Record, SelfEdit, Verdict

PolicyArg = Annotated[
    str,
    typer.Argument(metavar="POLICY", help="Model folder, hub name, update artifact, tiny, or -."),
]
ProbeOption = Annotated[
    str | None,
    typer.Option(
        "--probe",
        help="Contexts artifact that nothing is trained on: what adapting does to it is told, too.",
    ),
]


def evaluate(
    session: Session,
    policy: PolicyArg,
    contexts: ContextsArg,
    student: StudentOption = None,
    probe: ProbeOption = None,
) -> None:
    """Measure how well a policy adapts itself, or a student, to contexts."""
    source = session.artifact(contexts, "contexts")
    probe_set = session.artifact(probe, "contexts") if probe else None
    require_local(session.resolve(GenerateConfig).engine)  # before a server's model is looked for
    model = resolve_model(session.workspace, policy)
    adapted = resolve_model(session.workspace, student) if student else None
    session.answer(session.run(task(session, source, model, adapted, probe_set)))


def task(
    session: Session,
    source: Artifact,
    model: LocalModel,
    student: LocalModel | None = None,
    probe_set: Artifact | None = None,
    **own: Any,
) -> Task:
    """The run that `seal eval` and `seal loop` share; `own` are settings of the loop's own.

    `model` writes the self-edits; `student`, or else `model` itself, is adapted and examined.
    """
    wanted = evaluation(session, source, model, student or model, own, probe_set)
    regimes = {"cpt": eval_cpt.task, "continual": eval_continual.task}
    return regimes.get(wanted.settings.eval.regime, _by_context)(wanted)


def _by_context(wanted: Evaluation) -> Task:
    """The regimes single and fewshot: every context for itself."""
    session, model, settings = wanted.session, wanted.model, wanted.settings
    student, contexts = wanted.student, wanted.contexts
    fewshot = settings.eval.regime == "fewshot"

    def open(job: Job) -> Work:
        domain, rank = contexts.domain, settings.adapt.rank
        inner = adapt.inner_loop(session, student, domain, settings.adapt, job.slots)
        examiner = score.examiner(session, student, domain, settings.score, rank)
        probe = wanted.prober(inner, examiner, session.load(student)) if wanted.probe else None
        # Last: it is the last model loaded that stays at hand, and this may be another one.
        write = generate.writer(session, model, domain, settings.generate, rank)
        evaluated = (
            partial(tasks.evaluate, oracle=settings.oracle)
            if fewshot
            else partial(stage.evaluate, adapt_to_passages=inner.passages, probe=probe)
        )
        return lambda ids: evaluated(
            [contexts.contexts[i] for i in ids],
            questions=contexts.questions,
            examiner=examiner,
            write=write,
            adapt=lambda edits: inner.self_edits(edits, contexts.contexts),
        )

    # A context gets its passage's adapters, or the oracle's, and those of its self-edits.
    per_context = settings.eval.repeats * (1 + settings.eval.samples)
    return Task(
        stage="eval",
        kind="metrics",
        inputs=wanted.inputs,
        aside=wanted.aside,
        material=wanted.material(),
        config=settings.keys(),
        items=wanted.chosen,
        open=open,
        plan=lambda: adapt.plan(session, student, settings.adapt, per_context),
        finish=partial(_metrics, wanted, fewshot=fewshot),
        tables=("self_edits", "adapters", "answers", "verdicts"),
        models=wanted.locations,
    )


def _metrics(wanted: Evaluation, rows: Sequence[Record], *, fewshot: bool) -> list[Metric]:
    settings = wanted.settings
    edits = [row for row in rows if isinstance(row, SelfEdit)]
    chosen = {edit.self_edit_id for edit in edits if edit.prompt_name == tasks.ORACLE}
    named: dict[str, Any] = {
        "regime": "fewshot",
        "methods": tasks.METHODS if settings.oracle else tasks.METHODS[:-1],
        "belongs_to": partial(tasks.of, oracles=chosen),
    }
    found = stage.summarise(
        [row for row in rows if isinstance(row, Adapter | Answer | Verdict)],
        questions={i: wanted.contexts.questions[i] for i in wanted.chosen()},
        policy=wanted.model.policy,
        dataset=wanted.source.id,
        grader=settings.score.grader,
        **(named if fewshot else {}),
    )
    adapters = [row for row in rows if isinstance(row, Adapter)]
    return [*found, *(stage.probed(adapters, wanted.measured) if wanted.probe else ())]
