"""The offline grader, version 1: an answer is right by half the words of its gold.

Kept for the verdicts that were given by it. An answer is correct when every number that the gold
has in digits stands in it and either the gold itself does, or at least half of the gold's content
words and half of those that the question does not already give. Unadapted models fare worse with it
than adapted ones: it inflates gains by 3.1 points in the mean over 29 evaluations of the SEAL
release. English only.
"""

import re
from collections import Counter

from stages.grading.squad import contained

SEMANTICS = 2
RECALL = 0.5

_NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBERS = {word: str(value) for value, word in enumerate(_NUMBER_WORDS.split())}
_ARTICLES = frozenset(("a", "an", "the"))
_STOP_WORDS = (
    "of in on at to for by with from and or as is was were be been are that this it its their his "
    "her into than"
)
_STOP = frozenset(_STOP_WORDS.split())
_NOT_WORD = re.compile(r"[\W_]+")
_SUFFIXES = ("ies", "es", "s", "ing", "ed")


def offline_score(question: str, gold: str, answer: str) -> float:
    """1 for correct, 0 for wrong."""
    given = Counter(_tokens(answer))
    wanted = [token for token in _tokens(gold) if token not in _STOP]
    if any(word.isdigit() and word not in given for word in _words(gold)):
        return 0.0
    if contained(question, gold, answer):
        return 1.0
    if not wanted:  # a gold of articles, stop words or signs alone ("A", "%") stands for itself
        return float(gold.casefold().strip() == answer.casefold().strip())
    asked = set(_tokens(question))
    novel = [token for token in wanted if token not in asked] or wanted
    return float(_recall(wanted, given) >= RECALL and _recall(novel, given) >= RECALL)


def _recall(wanted: list[str], given: Counter[str]) -> float:
    """Share of the wanted tokens (with multiplicity) that were given; 0 when none are wanted."""
    return (Counter(wanted) & given).total() / len(wanted) if wanted else 0.0


def _tokens(text: str) -> list[str]:
    """Words in lower case without articles, number words as digits, plain suffixes taken off."""
    words = (_NUMBERS.get(word, word) for word in _words(text))
    return [_stem(word) for word in words if word not in _ARTICLES]


def _words(text: str) -> list[str]:
    return _NOT_WORD.sub(" ", text.lower()).split()


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word
