"""The offline grader, version 2: says what the paper's GPT-4.1 judge would have said, without it.

Evidence is gathered from the words of question, gold and answer (`Evidence`); each piece is worth a
fixed number of points (`POINTS`), their sum says how likely the judge is to accept the answer, and
from `ACCEPTED` on it is correct. Points and threshold are what `examples/grading/fit.py` finds on
the released verdicts; the page beside it says how far verdicts and gains can be trusted. English
only, and made for short factual golds such as SQuAD's.
"""

import math
import re
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from stages.grading.squad import contained
from stages.grading.words import MONTHS, STOP, Word, plain, spans, spelled_alike, stem, words

SEMANTICS = 1
NUMBER_WEIGHT = 2.5  # of a number among the words of a gold
SHORT_WEIGHT, SHORT = 0.5, 3  # of a word of at most three letters
TERSE = 8  # words of a phrase

# Where a model stops answering and writes the next question, or instructions to itself.
_NEXT = re.compile(r"(?<=\n)[ \t]*(?:Q[ \t]*:|Question|You are an|CoT|Let's answer|###)")
_SENTENCE = re.compile(r"(?:\S+\s+){3}.*?(?=(?<=[.!?])\s|\n|$)", re.DOTALL)  # "Dr." is none
_PARTS = re.compile(r"[,;/&]|\band\b|\bor\b")
_NOT = re.compile(r"\b(?:not|never|no|cannot|none|neither|nor)\b", re.IGNORECASE)
_DENIAL = re.compile(
    r"\bidk\b|not (?:mentioned|specified|clear|provided|possible|known|explicitly|available)|"
    r"no information|unclear|misunderstanding|\bI (?:do not|am not|cannot)",
    re.IGNORECASE,
)


class Evidence(NamedTuple):
    """What speaks for and against an answer, each from 0 to 1; or the points that each is worth.

    The new words of a gold are those that the question does not have; all, where it has all.
    """

    covered: float  # share of the gold's new words, by weight, that the answer has
    verbatim: float  # the gold stands in the answer's first sentence
    nothing_new: float  # the question has every word of the gold: its echo would have them, too
    numbers_missing: float  # share of the gold's numbers
    names_missing: float  # share of the gold's new words that have a capital
    parts_missing: float  # share of "this, that and those" of which the answer has nothing
    other_names: float  # the answer has a name that neither gold nor question has
    other_numbers: float  # the gold has a number, the answer one that neither gold nor question has
    other_date: float  # the answer has another day or month than the gold
    negates: float  # its first sentence has a "not" or "no", neither gold nor question has
    denies: float  # the answer says that it does not know, or that the question is wrong
    goes_on: float  # the model went on to another question
    terse: float  # the answer is a phrase of at most TERSE words


POINTS = Evidence(
    covered=3.68,
    verbatim=1.45,
    nothing_new=-1.28,
    numbers_missing=-0.81,
    names_missing=-1.31,
    parts_missing=-0.81,
    other_names=-0.19,
    other_numbers=-0.67,
    other_date=-2.85,
    negates=-0.48,
    denies=-2.82,
    goes_on=-0.97,
    terse=1.2,
)
START = -2.11
# Not 0.5: right answers in quite other words are not recognised, and from here on as many wrong
# ones are accepted, in the mean over methods.
ACCEPTED = 0.355


def offline_score(question: str, gold: str, answer: str) -> float:
    """How likely the judge is to accept the answer, 0..1; 1 for the gold itself."""
    if gold.casefold().strip() == answer.casefold().strip():
        return 1.0
    found = evidence(question, gold, answer)
    if found is None:  # a gold without words ("%") stands for nothing but itself
        return 0.0
    points = START + sum(p * share for p, share in zip(POINTS, found, strict=True))
    return round(1 / (1 + math.exp(-points)), 4)


def content_recall(gold: str, text: str) -> float:
    """Share of the gold's content words, by weight, that stand in a text, 0..1."""
    return _share(_content(_read(gold).words), _Text(text).has)


def evidence(question: str, gold: str, answer: str) -> Evidence | None:
    """What an answer has of a gold; None for a gold without a word."""
    text = _NEXT.split(answer, maxsplit=1)[0].strip()
    first = _first_sentence(text)
    asked, wanted, said = _read(question), _read(gold), _Text(text)
    content = _content(wanted.words)
    if not content:
        return None
    in_range = any(wanted.spans_over(word) for word in said.words)

    def given(word: Word) -> bool:
        return said.has(word) or (in_range and (word.number or word.text == "century"))

    other_date = _other_date(asked, wanted, said)
    if not other_date and any(_is_year(w) and given(w) and not asked.knows(w) for w in content):
        content = [w for w in content if given(w) or not (_is_day(w) or _is_month(w))]
    news = [word for word in content if not asked.knows(word)]
    new = news or content
    added = [w for w in said.words if w.text not in STOP and not asked.knows(w)]
    foreign = [w for w in added if not wanted.has(w) and not wanted.spans_over(w)]
    numbers = [word for word in content if word.number]
    return Evidence(
        covered=_share(new, given),
        verbatim=contained(question, gold, first),
        nothing_new=float(not news),
        numbers_missing=_missing(numbers, given),
        names_missing=_missing([word for word in new if _is_name(word)], given),
        parts_missing=_missing_parts(gold, asked, given),
        other_names=float(any(_is_name(word) for word in foreign if word is not said.words[0])),
        other_numbers=float(bool(numbers) and any(word.number for word in foreign)),
        other_date=float(other_date),
        negates=float(_negates(first) and not _negates(gold) and not _negates(question)),
        denies=float(_DENIAL.search(plain(text)) is not None),
        goes_on=float(text != answer.strip()),
        terse=float(len(said.words) <= TERSE),
    )


class _Text:
    """The words of a text, and what it has of others."""

    def __init__(self, text: str) -> None:
        self.words = words(text)
        self.values = frozenset(word.value for word in self.words if word.number)
        self.letters = frozenset(word.text for word in self.words if not word.number)
        self.stems = frozenset(map(stem, self.letters))
        self.months = frozenset(word.text for word in self.words if _is_month(word))
        self.text = text

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """The ranges, decades and centuries in it."""
        return spans(self.text)

    def has(self, word: Word) -> bool:
        """A number by its value, a word by its stem or in another spelling."""
        return self.knows(word) or (not word.number and spelled_alike(word.text, self.letters))

    def knows(self, word: Word) -> bool:
        """Like `has`, but a word by its stem alone."""
        return word.value in self.values if word.number else stem(word.text) in self.stems

    def spans_over(self, word: Word) -> bool:
        """Whether a number lies in a range, a decade or a century of the text."""
        value = word.value
        return value is not None and any(first <= value <= last for first, last in self.spans)


_read = lru_cache(maxsize=1 << 13)(_Text)  # questions and golds come again and again


def _content(found: Sequence[Word]) -> list[Word]:
    """The words that say something; all where none does ("the Who")."""
    return [word for word in found if word.text not in STOP] or list(found)


def _share(wanted: Sequence[Word], given: Callable[[Word], bool]) -> float:
    """Of the weight of the wanted words: numbers count most, short words least."""
    weights = [
        NUMBER_WEIGHT if w.number else SHORT_WEIGHT if len(w.text) <= SHORT else 1.0 for w in wanted
    ]
    had = sum(weight for w, weight in zip(wanted, weights, strict=True) if given(w))
    return had / sum(weights)


def _missing(wanted: Sequence[Word], given: Callable[[Word], bool]) -> float:
    """Share of the wanted words that are not given; 0 where none is wanted."""
    return sum(not given(word) for word in wanted) / len(wanted) if wanted else 0.0


def _missing_parts(gold: str, asked: _Text, given: Callable[[Word], bool]) -> float:
    """Share of the parts of "this, that and those" of which nothing new is given."""
    parts = [_content(_read(part).words) for part in _PARTS.split(gold)]
    new = [[w for w in part if not asked.knows(w)] or part for part in parts if part]
    if len(new) < 2:
        return 0.0
    return sum(not any(map(given, part)) for part in new) / len(new)


def _other_date(asked: _Text, wanted: _Text, said: _Text) -> bool:
    """Whether the gold has a month, and the answer another one or another day."""
    if not wanted.months:
        return False
    if said.months and not said.months & wanted.months:
        return True
    days = {word.value for word in wanted.words if _is_day(word)}
    said_days = {word.value for word in said.words if _is_day(word) and not asked.has(word)}
    return bool(days and said_days and not said_days & days)


def _is_day(word: Word) -> bool:
    return word.value is not None and 1 <= word.value <= 31


def _is_month(word: Word) -> bool:
    return word.capital and word.text in MONTHS  # "may" and "march" are other words, too


def _is_year(word: Word) -> bool:
    return word.value is not None and 1000 <= word.value < 2100


def _is_name(word: Word) -> bool:
    return word.capital and not word.number and not _is_month(word)


def _negates(text: str) -> bool:
    return _NOT.search(plain(text)) is not None


def _first_sentence(text: str) -> str:
    found = _SENTENCE.match(text)
    return found[0] if found else text
