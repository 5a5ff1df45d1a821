"""Every object on every arrow of the pipeline, frozen. The tables of the store have these columns.

A row that can go wrong carries `status` and `reason`:
    ok       it worked
    invalid  the policy's fault (unparseable, absurd): earns the reward floor, stays queryable
    failed   our fault (out of memory, a server down): no number, excluded from every mean
"""

import math
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "invalid", "failed"]
Basis = Literal["answers", "recorded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """Where an imported row was read: file, its sha256, and the JSON pointer or line in it.

    All null for a row that was made here, and for passages whose import needs no such detail.
    """

    source_file: str | None = None
    source_sha256: str | None = None
    source_position: str | None = None


@dataclass(frozen=True, slots=True)
class Context(Sourced):
    """One task instance (the paper's C): a passage, or a few-shot task with its demonstrations."""

    context_id: str
    ordinal: int
    domain: str
    split: str
    title: str
    text: str
    payload: str | None = None


@dataclass(frozen=True, slots=True)
class Question(Sourced):
    """One held-out evaluation item of a context (τ). `answers` are the accepted gold answers."""

    question_id: str
    context_id: str
    ordinal: int
    question: str
    answers: tuple[str, ...]
    origin: Literal["gold", "self"] = "gold"


@dataclass(frozen=True, slots=True)
class Draft(Sourced):
    """One question that a model wrote with the passage in view, and what became of it.

    `kept` ones are rows of `questions`, too, with the same id; of the others `reason` says why not.
    `invalid` is what cannot be a question about the passage, or was not answered right with the
    passage in view. Who was not asked has no answers and no verdicts. `text` is the piece of the
    completion that it was read from, `sample` and `ordinal` its place.
    """

    question_id: str
    context_id: str
    policy: str
    sample: int
    ordinal: int
    text: str
    question: str
    answer: str
    grader: str
    open_book: str | None
    open_book_correct: bool | None
    closed_book: str | None
    closed_book_correct: bool | None
    kept: bool
    status: Status
    reason: str | None
    seed: int


@dataclass(frozen=True, slots=True)
class SelfEdit(Sourced):
    """One sampled completion (SE). `prompt` is the exact text the policy was given.

    Of a recipe of several steps the completion is the training texts, a blank line between them,
    the prompt that of the first step, and `trace` has every request as JSON (`stages.trace`).
    `text_split` says where one training text ends (`stages.recipes`). `n_tokens`, `seed` and
    `finish` are null where an import does not know them, `text_split` where the prompt's name says.
    """

    self_edit_id: str
    context_id: str
    sample: int
    policy: str
    round: int
    prompt_name: str
    prompt: str
    completion: str
    status: Status
    reason: str | None
    n_tokens: int | None
    seed: int | None
    finish: Literal["stop", "length"] | None
    text_split: Literal["lines", "blocks", "questions", "none"] | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Adapter(Sourced):
    """One LoRA trained on one self-edit, one repeat (θ′).

    `self_edit_id` is null for an adapter trained on the passage alone, both it and `context_id` in
    the regime `cpt`, where one adapter stands for many passages. Seed, counts, losses and seconds
    are null where an import does not know them.
    """

    adapter_id: str
    self_edit_id: str | None
    context_id: str | None
    method: str  # what its answers stand for
    student: str
    repeat: int
    seed: int | None
    status: Status
    reason: str | None
    hyperparameters: str
    n_sequences: int | None
    n_tokens: int | None  # of one epoch
    n_steps: int | None
    first_loss: float | None  # mean over the targets of the first optimizer step
    last_loss: float | None  # of the last
    seconds: float | None
    weights: str | None = None  # a path inside the artifact; null when they were not kept
    sequence: int | None = None  # from 0: its place in the regime `continual`
    step: int | None = None  # from 1
    # On a frozen probe set that was asked before and after; null where there was none.
    probe_accuracy: float | None = None  # after
    probe_change: float | None = None  # what that is more than before
    probe_kl: float | None = None  # of the adapted model from the one before, in nats per token
    alone: str | None = None  # why it was trained one at a time where many at once were asked for


@dataclass(frozen=True, slots=True)
class Answer(Sourced):
    """What a student said to one question; both ids are null for the unadapted student.

    `method` is what the student was: `unadapted`, adapted to `passage-only` or to `self-edits` (an
    import may have others). Where `scope` is `probe`, what the student keeps of another context was
    asked: `about_context_id`, which also has the question. Of the unadapted student those stand
    with the first context of the run. What could not be answered is `failed`, without a verdict.
    """

    answer_id: str
    context_id: str  # that the row was made for
    question_id: str
    student: str
    self_edit_id: str | None
    adapter_id: str | None
    method: str
    repeat: int
    text: str
    n_tokens: int | None
    status: Status = "ok"
    reason: str | None = None
    scope: Literal["own", "probe"] = "own"
    about_context_id: str | None = None
    sequence: int | None = None
    step: int | None = None  # after how many edits of the sequence, in the regime `continual`


@dataclass(frozen=True, slots=True)
class Verdict(Sourced):
    """One grader's judgement of one answer. `correct` is null when it could not be judged."""

    answer_id: str
    context_id: str
    grader: str
    correct: bool | None
    score: float | None
    reason: str | None

    @property
    def status(self) -> Status:
        """`failed` when it could not be judged: that is never the policy's fault."""
        return "failed" if self.correct is None else "ok"


@dataclass(frozen=True, slots=True)
class Rating(Sourced):
    """A model's judgement of the text of a self-edit, 1 to 5 points in four respects."""

    self_edit_id: str
    context_id: str
    judge: str
    text: str  # all that it said; the points are null where that could not be read
    length: int | None
    diversity: int | None
    quality: int | None
    correctness: int | None
    status: Status
    reason: str | None


@dataclass(frozen=True, slots=True)
class Reward(Sourced):
    """What one self-edit earned (r): the mean accuracy over its questions and repeats.

    `adapted_std` is the population standard deviation over repeats. `reward` is null exactly when
    `status` is `failed`. `basis` is `answers` where the numbers follow from answers and verdicts in
    the store, `recorded` where an import has only the number. `rule` says what `reward` is:
    `accuracy`, `gain`, `improved`, `solved` (`stages.rewards`) or `proxy`; `origin` who wrote the
    questions.
    """

    self_edit_id: str
    context_id: str
    sample: int
    policy: str
    round: int
    student: str
    grader: str
    baseline_accuracy: float | None
    adapted_accuracy: float | None
    adapted_std: float | None
    gain: float | None
    reward: float | None
    n_repeats: int
    n_questions: int | None
    status: Status
    reason: str | None
    basis: Basis = "answers"
    rule: str = "accuracy"
    origin: Literal["gold", "self"] = "gold"
    # The unadapted and the adapted student's on a probe, contexts that no self-edit is about: means
    # over contexts and repeats.
    probe_baseline: float | None = None
    probe_accuracy: float | None = None
    dataset: str | None = None  # what an import calls the passages and how they were asked

    def __post_init__(self) -> None:
        if (self.reward is None) != (self.status == "failed"):
            raise ValueError(f"reward {self.reward} with status {self.status}")
        if self.reward is not None and not math.isfinite(self.reward):
            raise ValueError(f"reward {self.reward} is not a number")


@dataclass(frozen=True, slots=True)
class Selection(Sourced):
    """The verdict of a filter rule on one self-edit. `rank` counts from 1 within its context."""

    self_edit_id: str
    context_id: str
    rank: int
    rule: str
    kept: bool
    reason: str
    reward: float | None
    weight: float | None = None  # in the policy's training; null where it is not learned from


@dataclass(frozen=True, slots=True)
class Policy(Sourced):
    """A model that writes self-edits. `path` is inside the artifact; null for a model not ours."""

    policy: str
    name: str
    parent: str | None
    round: int
    path: str | None
    method: str  # base, or the objective it was trained by
    selection: str | None
    n_examples: int | None = None  # that it learned from in all
    first_loss: float | None = None
    last_loss: float | None = None
    # Of these, drawn from what came before its selection; null before there was such a choice.
    n_replayed: int | None = None


@dataclass(frozen=True, slots=True)
class Metric(Sourced):
    """One number of an evaluation: a mean over `n` contexts and its 95 % interval.

    `stages.interval` says how means and intervals are made. A `gain` is over the unadapted model of
    the same evaluation, paired by context. In the regime `cpt` the mean is over `n` questions, in
    `continual` over `n` sequences of edits (of those with a step, after that many edits; of those
    with a position, the passage edited so). `grader` is null where an import does not know it;
    `basis` as for rewards. `generator` and `prompt_name` are an import's word on who or what wrote
    the texts that were learned, and with which prompt; null where nothing was, and in evaluations
    of ours, which have their self-edits beside them.
    """

    policy: str
    round: int
    dataset: str
    regime: Literal["single", "cpt", "continual", "fewshot"]
    method: str
    step: int | None
    position: int | None
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_questions: int | None
    n_failed: int | None
    grader: str | None = None
    basis: Basis = "answers"
    generator: str | None = None
    prompt_name: str | None = None


Record = (
    Context | Question | Draft | SelfEdit | Adapter | Answer
    | Verdict | Rating | Reward | Selection | Policy | Metric
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """One training sequence before tokenisation: the prompt is read, the completion is learned."""

    prompt: str
    completion: str
    ends: bool = True  # whether an end token follows the completion
    learns_prompt: bool = False  # whether the prompt is learned, too
    system: str = ""  # what stands before the prompt, in a chat template as the system message


@dataclass(frozen=True, slots=True)
class Training:
    """How a self-edit wants to be trained on; null where the configuration decides."""

    epochs: int | None = None
    learning_rate: float | None = None
