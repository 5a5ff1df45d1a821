"""Knowledge incorporation (paper §4.1): a passage becomes training texts; closed-book questions.

One training sequence per text of the self-edit (a line of it, mostly), each under the passage's
title, plus the passage itself. The prompts and recipes are ours (`prompts/`); the paper's can be
passed as files.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from stages import recipes
from stages.errors import InputError, InvalidSelfEdit
from stages.fields import Config
from stages.identity import digest
from stages.recipes import Recipe
from stages.records import Context, Example, Question, Training

NAME = "knowledge"
settings: Config | None = None
SEMANTICS = 1
STOP = "\n"
GRADER = "offline-2"
REGIME: Literal["single", "fewshot"] = "single"
VIEWS = 1
PASSAGES = True

PROMPTS = Path(__file__).parent / "prompts"
PRESETS = (
    "implications",
    "implications-long",
    "implications-very-long",
    "implications-chain-of-thought",
    "rewrite",
    "self-qa",
    "none",
    "entity-pairs",
    "entity-triples",
    "active-reading",
)
SLOTS = ("context", "title")
QUESTION_PROMPT = "Answer in a few words.\nTopic: {title}\nQuestion: {question}\nAnswer:"

MAX_COMPLETION = 200_000  # characters; about 50,000 tokens, six times the paper's longest
MAX_TEXT = 1_000_000  # characters of one passage
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def read(row: Mapping[str, Any], *, ordinal: int, split: str) -> tuple[Context, list[Question]]:
    """A dict with `title`, `context` (or `text`, `passage`) and optional `questions`.

    A question is `{question, answer}` or `{question, answers}`, answers being a text or a list.
    """
    text = next((row[k] for k in ("context", "text", "passage") if row.get(k)), None)
    title = row.get("title") or ""
    if not isinstance(text, str) or not isinstance(title, str):
        raise InputError(
            f"passage {ordinal} has no text: its fields are {', '.join(map(str, row)) or 'none'}.",
            "A passage needs 'context' (or 'text'), and may have 'title' and 'questions'.",
        )
    if len(text) > MAX_TEXT:
        raise InputError(
            f"passage {ordinal} has {len(text)} characters.", "Split it: 1,000,000 at most."
        )
    title, text = _printable(title).strip(), _printable(text).strip()
    context_id = digest(NAME, title, text)
    context = Context(context_id, ordinal, NAME, str(row.get("split") or split), title, text)
    questions = row.get("questions")
    if questions is None:
        questions = []
    if not isinstance(questions, list):
        raise InputError(
            f"the questions of passage {ordinal} are not a list.", "Give a list of dicts."
        )
    return context, [_question(item, context_id, i) for i, item in enumerate(questions)]


def _question(item: Any, context_id: str, ordinal: int) -> Question:
    text = item.get("question") if isinstance(item, Mapping) else None
    golds = item.get("answers", item.get("answer")) if isinstance(item, Mapping) else None
    if isinstance(golds, str):
        golds = [golds]
    elif isinstance(golds, Mapping):  # the SQuAD layout of the hub: {"text": [...], ...}
        golds = golds.get("text")
    if isinstance(golds, list):
        golds = [g.get("text") if isinstance(g, Mapping) else g for g in golds]
    if isinstance(golds, list) and all(isinstance(gold, str) for gold in golds):
        golds = [gold for gold in (_printable(gold).strip() for gold in golds) if gold]
    else:
        golds = []
    if not isinstance(text, str) or not text.strip() or not golds:
        raise InputError(
            f"question {ordinal} of context {context_id} is not understood.",
            "A question needs 'question' and 'answer' (a text) or 'answers' (a list of texts).",
        )
    text = _printable(text).strip()
    question_id = digest(context_id, ordinal, text)
    return Question(question_id, context_id, ordinal, text, tuple(dict.fromkeys(golds)))


def recipe(prompt: str) -> Recipe:
    """A preset (`default`: the first), or a file with {context} and, if wanted, {title}."""
    return recipes.load(prompt, folder=PROMPTS, presets=PRESETS, slots=SLOTS, about="passage")


def prompt(
    context: Context, template: str, values: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The template with its placeholders filled; braces elsewhere are left alone."""
    return recipes.fill(template, {"title": context.title, "context": context.text, **values})


def prompt_system() -> str:
    """None."""
    return ""


def lessons(
    context: Context,
    completion: str,
    prompt_name: str,
    *,
    limit: int,
    split: str | None = None,
) -> list[Example]:
    """One sequence per text of the self-edit under the title, then the passage.

    `split` says where a text ends; by default at each line, for self-qa at each question. `limit`
    counts the passage; texts beyond it are left out (the caller compares lengths and says so).
    Raises InvalidSelfEdit for what is empty or not `readable`.
    """
    readable(completion)
    by_name = "questions" if prompt_name == "self-qa" else "lines"
    texts = recipes.texts(completion, split or by_name)
    if not texts:
        raise InvalidSelfEdit("no text to train on")
    kept = [_under_title(context, text) for text in texts[: limit - 1]]
    return kept + passage_lessons(context)


def readable(text: str) -> None:
    """Raise InvalidSelfEdit for a model's text that is too long or has broken characters."""
    if len(text) > MAX_COMPLETION:
        raise InvalidSelfEdit(f"{len(text)} characters, more than {MAX_COMPLETION}")
    if _CONTROL.search(text):
        raise InvalidSelfEdit("control characters in the text")
    if _SURROGATE.search(text):
        raise InvalidSelfEdit("broken characters (lone surrogates) in the text")


def document(context: Context, completion: str) -> Example:
    """The self-edit under the title, its lines kept together."""
    if not completion.strip():
        raise InvalidSelfEdit("no text to train on")
    return _under_title(context, completion.strip())


def training(completion: str) -> Training:
    """As configured: a text says what is learned, not how."""
    return Training()


def passage_lessons(context: Context) -> list[Example]:
    """The passage under its title, as one sequence."""
    return [_under_title(context, context.text)]


def rehearsal(context: Context) -> list[Example]:
    """The passage, as it is trained on."""
    return passage_lessons(context)


def _under_title(context: Context, text: str) -> Example:
    return Example("", f"{context.title}\n{text}" if context.title else text)


def grammar() -> str | None:
    """None: any text can be trained on."""
    return None


def ask(context: Context, question: Question, view: int = 0) -> str:
    """The question with the passage's title as its topic: SQuAD questions lean on it."""
    topic = {"title": context.title, "question": question.question}
    return recipes.fill(QUESTION_PROMPT, topic)


def ask_system(context: Context, view: int = 0) -> str:
    """None."""
    return ""


def answer(completion: str, view: int = 0) -> str:
    """The first line that is not blank: base models go on with questions of their own."""
    return next((line.strip() for line in completion.splitlines() if line.strip()), "")


def vote(answers: Sequence[str]) -> str:
    """The one answer there is: a question is asked in one way."""
    return answers[0]


def _printable(text: str) -> str:
    """Without control characters and lone surrogates, which Parquet cannot hold."""
    return _CONTROL.sub("", text.encode("utf-8", "replace").decode("utf-8"))


def drawn(text: str) -> None:
    """All there is is read."""
