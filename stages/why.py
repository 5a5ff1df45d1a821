"""why: what one self-edit changed, question by question, and which of its lines could have done it.

Explains rewards that are there; computes none and runs no model. Which line "covers" a gold answer
is the offline grader's opinion of the line as an answer: a hint at the cause, not a proof.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from stages.domains import Domain
from stages.errors import InvalidSelfEdit
from stages.grading import SCORES
from stages.grading.offline import content_recall
from stages.records import Answer, Context, Question, Reward, SelfEdit, Verdict

Change = Literal["learned", "lost", "emptied", "kept right", "still wrong", "not judged"]
EVERY_LINE = 10**9


@dataclass(frozen=True, slots=True)
class Said:
    """One answer and its verdict; `change` against the unadapted student, null for its own."""

    text: str
    correct: bool | None
    repeat: int
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Cover:
    """The training text that comes closest to a gold answer."""

    source: Literal["self-edit", "passage"]
    line: int | None  # from 1 within the self-edit; null for the passage
    text: str
    recall: float  # share of the gold's content words that it has
    covers: bool  # whether it would do as an answer


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: what was said before and after, and what became of it over the repeats."""

    question_id: str
    question: str
    golds: tuple[str, ...]
    before: tuple[Said, ...]
    after: tuple[Said, ...]
    changes: dict[Change, int]
    cover: Cover | None


@dataclass(frozen=True, slots=True)
class Winner:
    """The self-edit that earned most of its context, and the questions it did better on."""

    self_edit: SelfEdit
    reward: Reward
    better_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """Everything about one self-edit under one grader. `winner` is null when it won itself."""

    self_edit: SelfEdit
    reward: Reward
    title: str
    rank: int
    n_siblings: int
    changes: dict[Change, int]
    questions: tuple[Asked, ...]
    winner: Winner | None


def why(
    reward: Reward,
    *,
    rewards: Iterable[Reward],
    self_edits: Mapping[str, SelfEdit],
    context: Context,
    questions: Sequence[Question],
    answers: Iterable[Answer],
    verdicts: Iterable[Verdict],
    domain: Domain | None,
) -> Why:
    """What the self-edit of `reward` changed.

    `rewards` are those beside it; all else is about its context. Without answers (an import may
    have recorded the reward alone) there are no questions to tell of, and no need of a domain.
    """
    order = sorted((r for r in rewards if r.context_id == context.context_id), key=_best_of_n)
    edit = self_edits[reward.self_edit_id]
    correct = {v.answer_id: v.correct for v in verdicts if v.grader == reward.grader}
    said = _said(answers, correct)
    lines = _lines(context, edit, domain) if domain else []
    asked = tuple(
        _asked(question, said, edit.self_edit_id, lines)
        for question in questions
        if (edit.self_edit_id, question.question_id) in said or (None, question.question_id) in said
    )
    return Why(
        self_edit=edit,
        reward=reward,
        title=context.title,
        rank=[row.self_edit_id for row in order].index(edit.self_edit_id) + 1,
        n_siblings=len(order),
        changes=dict(sum((Counter(one.changes) for one in asked), Counter())),
        questions=asked,
        winner=_winner(order[0], reward, self_edits, asked, said),
    )


_Said = dict[tuple[str | None, str], list[Said]]


def _best_of_n(row: Reward) -> tuple[bool, float, int, str]:
    """The order of the default filter rule: best first."""
    earned = -row.reward if row.reward is not None else float("inf")
    return row.status != "ok", earned, row.sample, row.self_edit_id


def _said(answers: Iterable[Answer], correct: Mapping[str, bool | None]) -> _Said:
    """(self-edit, question) -> its answers; the unadapted student's under no self-edit."""
    said: _Said = defaultdict(list)
    for answer in answers:
        if answer.self_edit_id is None and answer.method != "unadapted":
            continue
        row = Said(answer.text, correct.get(answer.answer_id), answer.repeat)
        said[answer.self_edit_id, answer.question_id].append(row)
    return dict(said)


def _asked(question: Question, said: _Said, edit_id: str, lines: Sequence[Cover]) -> Asked:
    before = said.get((None, question.question_id), [])
    after = [
        Said(row.text, row.correct, row.repeat, _change(before, row))
        for row in said.get((edit_id, question.question_id), [])
    ]
    return Asked(
        question_id=question.question_id,
        question=question.question,
        golds=question.answers,
        before=tuple(before),
        after=tuple(after),
        changes=dict(Counter(row.change for row in after if row.change is not None)),
        cover=_cover(question, lines),
    )


def _change(before: Sequence[Said], after: Said) -> Change:
    """What became of one answer. Of several unadapted ones the majority counts."""
    judged = [row.correct for row in before if row.correct is not None]
    if after.correct is None or not judged:
        return "not judged"
    if not after.text.strip() and any(row.text.strip() for row in before):
        return "emptied"
    was_right = 2 * sum(judged) > len(judged)
    if after.correct:
        return "kept right" if was_right else "learned"
    return "lost" if was_right else "still wrong"


def _lines(context: Context, edit: SelfEdit, domain: Domain) -> list[Cover]:
    """What was trained on: the lines of the self-edit, then the passage; not yet compared."""
    passage = domain.passage_lessons(context)
    try:
        every = domain.lessons(
            context, edit.completion, edit.prompt_name, limit=EVERY_LINE, split=edit.text_split
        )
    except InvalidSelfEdit:
        every = []
    own = every[: len(every) - len(passage)]
    title = f"{context.title}\n"
    texts = [example.completion.removeprefix(title) for example in own]
    covers = [Cover("self-edit", i, text, 0.0, False) for i, text in enumerate(texts, 1)]
    return [*covers, Cover("passage", None, context.text, 0.0, False)]


def _cover(question: Question, lines: Sequence[Cover]) -> Cover | None:
    """The text that covers the gold best, or comes closest; null if none has a word of it."""
    offline = SCORES["offline-2"]
    compared = []
    for line in lines:
        recall = max((content_recall(gold, line.text) for gold in question.answers), default=0.0)
        judged = offline.grade(question.question, question.answers, line.text)
        compared.append(replace(line, recall=recall, covers=bool(judged.correct)))
    best = max(compared, key=lambda cover: (cover.covers, cover.recall))
    return best if best.covers or best.recall else None


def _winner(
    first: Reward,
    reward: Reward,
    self_edits: Mapping[str, SelfEdit],
    asked: Sequence[Asked],
    said: _Said,
) -> Winner | None:
    if first.self_edit_id == reward.self_edit_id or first.status != "ok":
        return None
    better = [
        question.question_id
        for question in asked
        if _share(said.get((first.self_edit_id, question.question_id), ())) > _share(question.after)
    ]
    return Winner(self_edits[first.self_edit_id], first, tuple(better))


def _share(answers: Sequence[Said]) -> float:
    """Share of right answers; none at all is the least."""
    judged = [row.correct for row in answers if row.correct is not None]
    return sum(judged) / len(judged) if judged else -1.0
