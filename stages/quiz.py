"""quiz: the model writes the questions that a context without any needs (an idea of paper §5).

It writes questions and answers with the passage in view. Kept are those whose answer stands in the
passage and that the model answers right with the passage in view and wrong without: they can be
answered, and are not known yet. Nothing here sees a gold question, nothing is trained.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from stages.config import QuizConfig
from stages.domains import knowledge, questions
from stages.engines import Completion, Engine, Request
from stages.errors import InvalidSelfEdit
from stages.grading import Grader, Item
from stages.grading.squad import contained, normalise
from stages.identity import derive_seed, digest
from stages.records import Context, Draft, Policy, Question

SEMANTICS = 1
MAX_QUESTION = 500  # characters
MAX_ANSWER = 200


@dataclass(frozen=True)
class Quizmaster:
    """A policy on an engine that writes and answers, and the grader of its answers."""

    policy: Policy
    engine: Engine
    grader: Grader
    prompt: tuple[str, str]  # the name and the text of what it is asked to write
    config: QuizConfig


def quiz(
    contexts: Sequence[Context], *, master: Quizmaster
) -> Iterator[Context | Question | Draft]:
    """Every context as it is, with its kept questions and every draft, in order.

    `config.samples` texts are written per context, the first `config.questions` good ones kept.
    A context of which nothing is kept has no questions. A draft is `invalid` when it is no question
    about the passage, `failed` when it could not be written, answered or judged.
    """
    drafts = [draft for about in _written(contexts, master) for draft in _screened(*about)]
    answered = _answered({c.context_id: c for c in contexts}, drafts, master)
    by_context = {
        context_id: _chosen(list(rows), master.config.questions)
        for context_id, rows in groupby(answered, key=lambda draft: draft.context_id)
    }
    for context in contexts:
        rows = by_context[context.context_id]
        yield context
        yield from (_question(d, i) for i, d in enumerate(d for d in rows if d.kept))
        yield from rows


def _written(
    contexts: Sequence[Context], master: Quizmaster
) -> Iterator[tuple[Context, list[Draft]]]:
    """What the model wrote about each context, read into drafts; at least one per text."""
    config = master.config
    name, template = master.prompt
    requests = [
        Request(
            prompt=knowledge.prompt(context, template),
            seed=derive_seed(
                config.seed, "quiz", context.context_id, master.policy.round, name, sample
            ),
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
        )
        for context in contexts
        for sample in range(config.samples)
    ]
    texts = iter(zip(requests, master.engine.complete(requests), strict=True))
    for context in contexts:
        drafts = []
        for sample in range(config.samples):
            request, completion = next(texts)
            drafts += _read(context, sample, request, completion, master)
        yield context, drafts


def _read(
    context: Context, sample: int, request: Request, said: Completion, master: Quizmaster
) -> list[Draft]:
    text = said.text.strip()
    found = questions.written(text) or [(text, "", "")]
    return [
        Draft(
            question_id=digest(context.context_id, "self", master.policy.policy, question, answer,
                               request.seed, ordinal),
            context_id=context.context_id,
            policy=master.policy.policy,
            sample=sample,
            ordinal=ordinal,
            text=piece,
            question=question,
            answer=answer,
            grader=master.grader.name,
            open_book=None,
            open_book_correct=None,
            closed_book=None,
            closed_book_correct=None,
            kept=False,
            status="failed" if said.error else "ok",
            reason=said.error,
            seed=request.seed,
        )
        for ordinal, (piece, question, answer) in enumerate(found)
    ]  # fmt: skip


def _screened(context: Context, drafts: Sequence[Draft]) -> Iterator[Draft]:
    """The drafts of a context; with a reason where they need not be asked."""
    known: set[str] = set()
    for draft in drafts:
        if draft.reason is not None:
            yield draft
            continue
        invalid = _invalid(context, draft)
        asked = normalise(draft.question)
        if invalid is not None:
            yield replace(draft, status="invalid", reason=invalid)
        elif asked in known:
            yield replace(draft, reason="asked before")
        else:
            known.add(asked)
            yield draft


def _invalid(context: Context, draft: Draft) -> str | None:
    """Why this is no question about the passage; None when it may be one."""
    if not normalise(draft.question):
        return "no question in the text"
    if not normalise(draft.answer):
        return "no answer"
    if len(draft.question) > MAX_QUESTION or len(draft.answer) > MAX_ANSWER:
        return "too long"
    try:
        knowledge.readable(draft.text)
    except InvalidSelfEdit as error:
        return error.message
    if not contained("", draft.answer, context.text):
        return "the answer does not stand in the passage"
    if contained("", draft.answer, draft.question):
        return "the question gives its answer away"
    return None


def _answered(
    contexts: dict[str, Context], drafts: Sequence[Draft], master: Quizmaster
) -> Iterator[Draft]:
    """The drafts; those without a reason asked with and without the passage, all together."""
    asked = [_question(draft, 0) for draft in drafts if draft.reason is None]
    prompts = [
        prompt
        for q in asked
        for prompt in (
            questions.ask_in_view(contexts[q.context_id], q),
            knowledge.ask(contexts[q.context_id], q),
        )
    ]
    limit = master.config.answer_tokens
    said = master.engine.complete([Request(p, 0, limit, stop=knowledge.STOP) for p in prompts])
    pairs = iter(zip(asked, said[::2], said[1::2], strict=True))
    for draft in drafts:
        yield _judged(draft, *next(pairs), master) if draft.reason is None else draft


def _judged(
    draft: Draft, question: Question, in_view: Completion, without: Completion, master: Quizmaster
) -> Draft:
    """A draft with both answers and what they say of it; `kept` where both are as they should."""
    error = in_view.error or without.error
    if error is not None:
        return replace(draft, status="failed", reason=error)
    answers = [knowledge.answer(said.text) for said in (in_view, without)]
    items = [Item(question.question, question.answers, answer) for answer in answers]
    judged = master.grader.grade_all(items)
    right, known = (judgement.correct for judgement in judged)
    draft = replace(
        draft,
        open_book=answers[0],
        open_book_correct=right,
        closed_book=answers[1],
        closed_book_correct=known,
    )
    unjudged = next((one for one in judged if one.correct is None), None)
    if unjudged is not None:
        return replace(draft, status="failed", reason=unjudged.reason)
    if not right:
        return replace(draft, status="invalid", reason="answered wrong with the passage in view")
    if known:
        return replace(draft, reason="answered right without the passage")
    return replace(draft, kept=True)


def _chosen(drafts: Sequence[Draft], limit: int) -> list[Draft]:
    """The first `limit` good ones stay kept."""
    good = [draft.question_id for draft in drafts if draft.kept][:limit]
    return [
        replace(draft, kept=False, reason="more than were asked for")
        if draft.kept and draft.question_id not in good
        else draft
        for draft in drafts
    ]


def _question(draft: Draft, ordinal: int) -> Question:
    return Question(
        question_id=draft.question_id,
        context_id=draft.context_id,
        ordinal=ordinal,
        question=draft.question,
        answers=(draft.answer,),
        origin="self",
    )
