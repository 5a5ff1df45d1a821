"""The string metrics of SQuAD v1.1: exact match, containment, token F1. English only."""

import re
import string
from collections import Counter

SEMANTICS = 1

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")


def normalise(text: str) -> str:
    """Lower case, no ASCII punctuation, no articles, single spaces (the SQuAD v1.1 rule)."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(question: str, gold: str, answer: str) -> float:
    """1 when both are the same after normalising."""
    return float(normalise(gold) == normalise(answer))


def contained(question: str, gold: str, answer: str) -> float:
    """1 when the normalised gold stands in the normalised answer, at token boundaries."""
    wanted = normalise(gold)
    return float(bool(wanted) and f" {wanted} " in f" {normalise(answer)} ")


def token_f1(question: str, gold: str, answer: str) -> float:
    """Harmonic mean of token precision and recall, after normalising."""
    wanted, given = normalise(gold).split(), normalise(answer).split()
    common = (Counter(wanted) & Counter(given)).total()
    return 2 * common / (len(wanted) + len(given)) if common else 0.0
