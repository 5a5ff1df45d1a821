"""Questions that a model writes about a passage: how it is asked for them, how they are read."""

import re

from stages.domains import knowledge
from stages.errors import ConfigError
from stages.records import Context, Question

SEMANTICS = 1
PRESET = "self-qa"  # the prompt of the domain that asks for numbered questions with answers
MAX_WRITTEN = 200  # questions read from one text

# "Question 3:", "Q3.", "**Q:**", "3)": what a question begins with, at the start of a line.
_BEGINS = re.compile(r"(?im)^[ \t>*#-]*(?:(?:question|q)[ \t]*\d{0,4}|\d{1,4})[ \t]*[:.)][ \t*]*")
_UNMARKED = re.compile(r"(?m)^(?=[^\n?]{1,1000}\?)")
# "Answer:" anywhere, "A:" only at the start of a line: it is a word, too.
_ANSWER = re.compile(
    r"(?i)(?:(?:^|\s)\**answer|(?m:^)[ \t>*-]*a(?:ns)?)[ \t]*\d{0,4}[ \t]*:[ \t*]*"
)


def template(prompt: str) -> tuple[str, str]:
    """A preset's name (`default`: the one that asks for questions) or a file -> (name, template).

    Raises ConfigError for neither, a file without {context}, or a recipe of several steps.
    """
    recipe = knowledge.recipe(PRESET if prompt == "default" else prompt)
    if not recipe.single:
        raise ConfigError(
            f"{recipe.name} is a recipe of {len(recipe.steps)} steps.",
            "Questions are asked for in one: give a text file with {context}.",
        )
    return recipe.name, recipe.steps[0].prompt


def written(completion: str) -> list[tuple[str, str, str]]:
    """(piece of the text, question, answer) in order; a missing answer is empty.

    Lenient: numbered or not, on one line or on two, with Markdown around it. A text without any
    marks is read line by line, a question being what ends in a question mark.
    """
    marks = _BEGINS if _BEGINS.search(completion) else _UNMARKED
    starts = [found.span() for found in marks.finditer(completion)][:MAX_WRITTEN]
    ends = [begin for begin, _ in starts[1:]] + [len(completion)] * bool(starts)
    pieces = [
        (completion[begin:end], completion[text:end])
        for (begin, text), end in zip(starts, ends, strict=True)
    ]
    return [(piece.strip(), *_parts(text)) for piece, text in pieces]


def _parts(text: str) -> tuple[str, str]:
    mark = _ANSWER.search(text)
    if mark is not None:
        return _plain(text[: mark.start()]), _first_line(text[mark.end() :])
    question, asked, rest = text.partition("?")
    return (_plain(question + asked), _first_line(rest)) if asked else (_plain(text), "")


def _first_line(text: str) -> str:
    return next((_plain(line) for line in text.splitlines() if _plain(line)), "")


def _plain(text: str) -> str:
    """One line without the marks around it."""
    return " ".join(text.split()).strip("*_\"'` ")


def ask_in_view(context: Context, question: Question) -> str:
    """The question with the passage in view, as the first that the domain's own prompt asks for."""
    asked = knowledge.prompt(context, template(PRESET)[1])
    return f"{asked}Question 1: {question.question}\nAnswer:"
