"""Words that can be compared: numbers, accents, ranges, stems, spellings."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.grading.words import plain, spans, spelled_alike, stem, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the U.S. Army's", ["the", "us", "army"]),
        ("James’ café isn't", ["james", "cafe", "is", "not"]),
        ("190 BCE", ["190", "bc"]),
        ("1st 22nd 3rd 4th", ["1", "22", "3", "4"]),
        ("V&A, spring-loaded", ["v", "a", "spring", "loaded"]),
        ("%", []),
    ],
)
def test_words_in_one_spelling(text: str, found: list[str]) -> None:
    assert [word.text for word in words(text)] == found


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("seven", [7]),
        ("the 19th and the nineteenth", [19, 19]),
        ("$2.5 billion", [2.5e9]),
        ("2,500,000,000", [2.5e9]),
        ("two hundred thousand", [200_000]),
        ("half", [50]),
        ("sixty 1970s", [60, 1970]),
        ("version 1.2.3", []),
        ("a million", []),  # how many is not said
    ],
)
def test_numbers_by_their_value(text: str, values: list[float]) -> None:
    assert [word.value for word in words(text) if word.number] == values


def test_capitals_are_kept_in_mind() -> None:
    assert [word.capital for word in words("the Bruce medal 1943")] == [False, True, False, False]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("11–13th century", [(11, 13), (1200, 1299)]),
        ("the nineteenth century", [(1800, 1899)]),
        ("the 1970s", [(1970, 1979)]),
        ("from 1973-80", [(1973, 1980)]),
        ("between 1960 and 2000", [(1960, 2000)]),
        ("4 and 5", []),
        ("24–10", []),  # a score
        ("1977", []),
    ],
)
def test_ranges_decades_and_centuries(text: str, found: list[tuple[int, int]]) -> None:
    assert spans(text) == found


@pytest.mark.parametrize(
    ("word", "other", "alike"),
    [
        ("khuruldai", "kurultai", True),
        ("vasistha", "vasishtha", True),
        ("natural", "unnatural", False),
        ("east", "southeast", False),
        ("rome", "rose", False),
        ("sailor", "tailor", False),
    ],
)
def test_other_spellings(word: str, other: str, alike: bool) -> None:
    assert spelled_alike(word, [other]) is alike
    assert spelled_alike(other, ["x", word]) is alike


def test_stems_are_the_same_in_many_threads() -> None:
    forms = ["flooding", "flooded", "floods", "vaccination", "generous", "universities"] * 200
    expected = [stem(form) for form in forms]
    stem.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(stem.__wrapped__, forms)) == expected
    assert stem("flooding") == stem("floods")


@given(st.text(st.characters(codec=None)))
def test_any_text_has_words_and_ranges(text: str) -> None:
    plain(text)
    spans(text)
    assert all(word.text for word in words(text))


def test_digits_without_end_are_no_bug() -> None:
    digits = "9" * 10_000
    assert words(digits)[0].number
    assert spans(f"{digits}-{digits}") == []
