"""The regime `cpt` of eval: one model trained on many passages at once (paper Table 2, n=200).

Two of them, beside the unadapted model: trained on the passages alone, and on the passages with all
their self-edits. Every one is asked the questions of all passages. `stages.eval` makes the metrics.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from stages.adapt import Inner, also, finished, fitting
from stages.config import CptConfig
from stages.errors import InvalidSelfEdit
from stages.eval import Measured
from stages.exam import Examination, Examiner, rows_of
from stages.identity import derive_seed, digest
from stages.models import LanguageModel
from stages.probe import Probe, State
from stages.records import Adapter, Context, Example, Metric, Question, Record, SelfEdit
from stages.training import Job, Trained, Trainer

SEMANTICS = 2  # of stages.training.full, too
PASSAGES, EDITS = "passage-only", "self-edits"
SHUFFLE = 42  # the seed with which the released code draws its 500 questions


@dataclass(frozen=True)
class Learned:
    """A model that was trained: how it went, and blocks in which it is as it was and as it is."""

    trained: Trained
    before: State = nullcontext
    after: State = nullcontext


Learn = Callable[[Job], AbstractContextManager[Learned]]


def evaluate(
    method: str,
    contexts: Sequence[Context],  # all that are learned
    edits: Sequence[SelfEdit],
    *,
    questions: Mapping[str, Sequence[Question]],  # that are asked, by context
    plan: Callable[[str, Sequence[Context], Sequence[SelfEdit]], tuple[Adapter, Job | None]],
    learn: Learn,
    examiner: Examiner,
    measured: Measured,
    probe: Probe | None = None,
) -> list[Record]:
    """One method: its adapter, answers and verdicts, and what became of the probe."""
    row, job = plan(method, contexts, edits)
    if job is None:
        return [row]
    with learn(job) as learned:
        row, worn = finished(row, learned.trained)
        if row.status != "ok":
            return [row]
        told: list[Metric] = []
        if probe is not None:
            after = probe.accuracies(row, worn)
            row = probe.told(row, after, probe.kl(before=learned.before, after=learned.after))
            told = list(_probed(method, row, probe, after, measured))
        asked = [context for context in contexts if questions.get(context.context_id)]
        exams = [Examination(c, questions[c.context_id], row, worn) for c in asked]
        return [*told, row, *rows_of(examiner.examine(exams))]


def planned(
    method: str,
    contexts: Sequence[Context],
    edits: Sequence[SelfEdit],
    inner: Inner,
    config: CptConfig,
) -> tuple[Adapter, Job | None]:
    """The adapter's row before training, and the job; none when there is nothing to learn.

    Where every self-edit failed it fails, too: passages alone must not stand in their place. A text
    that comes twice is learned once, so a passage stands beside its self-edits one time.
    """
    adapting, student = inner.config, inner.student
    examples, left_out = _texts(contexts, edits, inner, config)
    texts = dict.fromkeys(map(inner.tokenised, examples))
    rows, note = fitting(list(texts), adapting)
    said = also(left_out, note)
    unfit = None if rows else also("no token to learn from", said)
    if edits and all(edit.status == "failed" for edit in edits):
        unfit = f"every self-edit failed: {edits[0].reason}"
    hyperparameters = inner.hyperparameters(config.key())
    content = digest([c.context_id for c in contexts], [e.self_edit_id for e in edits])
    seed = derive_seed(adapting.seed, method, content)
    adapter = inner.untrained(
        rows,
        adapter_id=digest(student.student, method, content, adapting.seed, hyperparameters),
        self_edit_id=None,
        context_id=None,
        method=method,
        repeat=0,
        seed=seed,
        status="failed" if unfit else "ok",
        reason=unfit or said,
        hyperparameters=hyperparameters,
    )
    if unfit:
        return adapter, None
    rising = adapting.warmup_steps or _rising(len(rows), config)
    own = {name: getattr(config, name) for name in ("epochs", "learning_rate", "batch_size")}
    return adapter, adapting.job(rows, student.targets, seed, **own, warmup_steps=rising)


def _rising(n_rows: int, config: CptConfig) -> int:
    """The steps of a full finetuning in which the rate rises, by its share of them."""
    assert config.epochs is not None
    assert config.batch_size is not None
    steps = config.epochs * math.ceil(n_rows / config.batch_size)
    return math.ceil((config.warmup or 0.0) * steps)


def lora(trainer: Trainer, lm: LanguageModel) -> Learn:
    """Training of a LoRA, worn when the model is asked."""

    @contextmanager
    def learn(job: Job) -> Iterator[Learned]:
        from stages.training.attach import attached

        (trained,) = trainer.train([job])
        yield Learned(trained, after=lambda: attached(lm.model, trained.lora))

    return learn


def full(lm: LanguageModel) -> Learn:
    """Finetuning of all weights, in the model itself while the block lasts."""

    @contextmanager
    def learn(job: Job) -> Iterator[Learned]:
        from stages.training.full import finetuned
        from stages.training.merge import swapped

        with finetuned(lm, job) as (trained, originals):
            yield Learned(trained, before=lambda: swapped(originals))

    return learn


def drawn(
    questions: Mapping[str, Sequence[Question]], contexts: Sequence[str], wanted: int
) -> dict[str, list[Question]]:
    """The questions that are asked, by context in order: all, or `wanted` drawn from all of them.

    Drawn as the released code does (all pairs shuffled with one seed, the first taken), so that on
    its passages in its order these are the paper's 500.
    """
    pairs = [(i, question) for i in contexts for question in questions[i]]
    if 0 < wanted < len(pairs):
        random.Random(SHUFFLE).shuffle(pairs)
        pairs = pairs[:wanted]
    chosen: dict[str, list[Question]] = {i: [] for i in contexts}
    for context_id, question in pairs:
        chosen[context_id].append(question)
    return {i: some for i, some in chosen.items() if some}


def _texts(
    contexts: Sequence[Context], edits: Sequence[SelfEdit], inner: Inner, config: CptConfig
) -> tuple[list[Example], str | None]:
    """What is learned, passages first within each context, and how many self-edits were no use."""
    by_context: dict[str, list[SelfEdit]] = {}
    for edit in edits:
        by_context.setdefault(edit.context_id, []).append(edit)
    examples: list[Example] = []
    n_unusable = 0
    for context in contexts:
        examples += inner.domain.passage_lessons(context)
        for edit in by_context.get(context.context_id, []):
            try:
                examples += _lessons(context, edit, inner, config)
            except InvalidSelfEdit:
                n_unusable += 1
    note = f"{n_unusable} of {len(edits)} self-edits could not be learned from"
    return examples, note if n_unusable else None


def _lessons(context: Context, edit: SelfEdit, inner: Inner, config: CptConfig) -> list[Example]:
    """The texts of one self-edit. Raises InvalidSelfEdit."""
    if edit.status != "ok":
        raise InvalidSelfEdit(edit.reason or edit.status)
    lines = inner.domain.lessons(
        context,
        edit.completion,
        edit.prompt_name,
        limit=inner.config.max_sequences,
        split=edit.text_split,
    )  # also tells whether it can be read
    return lines if config.lines else [inner.domain.document(context, edit.completion)]


def _probed(
    method: str,
    row: Adapter,
    probe: Probe,
    after: Sequence[float | None],
    measured: Measured,
) -> Iterator[Metric]:
    """The probe's metrics of one model: intervals over its passages, for the divergence none."""
    n_questions = sum(len(probe.questions[c.context_id]) for c in probe.contexts)
    pairs = [
        (then, now)
        for then, now in zip(probe.before, after, strict=True)
        if then is not None and now is not None
    ]
    about: dict[str, Any] = {"n_questions": n_questions, "n_failed": len(after) - len(pairs)}
    if method == PASSAGES:
        yield measured.metric("unadapted", "probe_accuracy", [a for a, _ in pairs], **about)
    yield measured.metric(method, "probe_accuracy", [b for _, b in pairs], **about)
    yield measured.metric(method, "probe_change", [b - a for a, b in pairs], **about)
    if row.probe_kl is not None:
        yield measured.metric(method, "probe_kl", [row.probe_kl], n_questions=None, n_failed=0)
