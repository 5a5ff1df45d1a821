"""Text as words that can be compared: numbers by value, words by stem or spelling. English only."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

ALIKE = 0.8  # of 1: words spelled so alike are the same word in another form or transliteration
ALIKE_LETTERS = 5  # shorter words differ too easily by one letter

_CARDINALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_TENS = "thirty forty fifty sixty seventy eighty ninety"
_STOP_WORDS = (
    "a an the of in on at to for by with from and or as is was were be been being are am that this "
    "these those it its their his her he she they them him who which what when where how into than "
    "then there some any such also do does did has have had will would can could may might about "
    "through during because while both other"
)
_MONTH_WORDS = (
    "january february march april may june july august september october november december"
)
STOP = frozenset(_STOP_WORDS.split())
MONTHS = frozenset(_MONTH_WORDS.split())
_NUMBERS = {"half": 50.0, "double": 2.0, "twice": 2.0}  # half as in "50 %"
for _names, _first, _step in ((_CARDINALS, 0, 1), (_ORDINALS, 0, 1), (_TENS, 30, 10)):
    _NUMBERS |= {name: float(_first + _step * i) for i, name in enumerate(_names.split())}
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_SAME = {"bce": "bc", "ce": "ad"}

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_INITIALS = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_NUMBER_SUFFIX = re.compile(r"(?<=\d)(?:st|nd|rd|th|s)\b")
_POSSESSIVE = re.compile(r"'s\b|(?<=s)'")
_NOT = re.compile(r"n't\b")
_RANGE = re.compile(r"(\d{1,9})\s*(?:-|–|—|to|through)\s*(\d{1,9})")
_BETWEEN = re.compile(r"\bbetween (\d{1,9}) and (\d{1,9})")
_DECADE = re.compile(r"\b(\d{3}0)s\b")
_CENTURY = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th) century")
_ORDINAL = re.compile(rf"\b({'|'.join(_ORDINALS.split())})\b")


class Word(NamedTuple):
    """A word in lower case, whether it has a capital, and its value where it is a number."""

    text: str
    capital: bool
    value: float | None

    @property
    def number(self) -> bool:
        """Whether it is one."""
        return self.value is not None


def plain(text: str) -> str:
    """Without accents, dots of initials, possessives and short forms of "not"."""
    if not text.isascii():
        letters = unicodedata.normalize("NFKD", text).replace("’", "'")
        text = "".join(c for c in letters if not unicodedata.combining(c))
    text = _INITIALS.sub(lambda found: found[0].replace(".", ""), text)
    return _POSSESSIVE.sub("", _NOT.sub(" not", text))


def words(text: str) -> list[Word]:
    """The words of a text in order; "7 million", "seven million" and "7,000,000" are one number."""
    found: list[Word] = []
    for raw in _WORD.findall(_NUMBER_SUFFIX.sub("", plain(text))):
        word = raw.lower()
        before = found[-1].value if found and word in _SCALES else None
        if before is not None:
            found[-1] = Word(f"{found[-1].text} {word}", False, before * _SCALES[word])
        else:
            value = _value(word) if raw[0].isdecimal() else _NUMBERS.get(word)
            found.append(Word(_SAME.get(word, word), raw[0].isupper(), value))
    return found


def _value(number: str) -> float | None:
    """What digits stand for; None for a version or a date ("1.2.3")."""
    try:
        return float(number.replace(",", ""))
    except ValueError:
        return None


def spans(text: str) -> list[tuple[int, int]]:
    """The ranges, decades and centuries in a text: "the 1970s" is (1970, 1979)."""
    bare = plain(text)
    numbers = _NUMBER_SUFFIX.sub("", bare)
    found = []
    for first, last in _RANGE.findall(numbers) + _BETWEEN.findall(numbers):
        full = first[: max(0, len(first) - len(last))] + last  # 1973-80
        if int(first) < int(full):
            found.append((int(first), int(full)))
    found += [(int(decade), int(decade) + 9) for decade in _DECADE.findall(bare)]
    digits = _ORDINAL.sub(lambda word: f"{_NUMBERS[word[0]]:.0f}th", bare.lower())
    centuries = (int(century) for century in _CENTURY.findall(digits))
    return found + [(100 * century - 100, 100 * century - 1) for century in centuries]


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Snowball's English stem."""
    from snowballstemmer.english_stemmer import EnglishStemmer

    return str(EnglishStemmer().stemWord(word))  # one each: a stemmer holds the word it works on


def spelled_alike(word: str, others: Iterable[str]) -> bool:
    """Whether one of the others is the word in another form or spelling ("Kurultai", "Khuruldai").

    Words that begin otherwise are others ("unnatural", "sailor" and "tailor"), and so are short
    ones.
    """
    return len(word) >= ALIKE_LETTERS and any(
        _alike(word, other)
        for other in others
        if len(other) >= ALIKE_LETTERS and other[0] == word[0]
    )


@lru_cache(maxsize=1 << 18)
def _alike(word: str, other: str) -> bool:
    from rapidfuzz.distance import Indel

    return Indel.normalized_similarity(word, other) >= ALIKE
