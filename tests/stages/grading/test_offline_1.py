"""Version 1 says what it always said: against the released verdicts, on golds, and on any text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.grading import GRADERS
from stages.grading.offline_1 import offline_score

GRADER = GRADERS["offline-1"]


def judged(path: Path) -> Iterator[tuple[bool, bool]]:
    """What GPT-4.1 said and what we say, for every released answer of an adapted model."""
    for article in json.loads(path.read_text(encoding="utf-8"))["articles"]:
        for completion in article["completions"]:
            for q in completion["questions"]:
                ours = GRADER.grade(q["question"], (q["answer"],), q["adapter_answer"])
                yield q["adapter_correct"], bool(ours.correct)


def agreement(pairs: list[tuple[bool, bool]]) -> tuple[float, float]:
    """Accuracy and Cohen's kappa."""
    n = len(pairs)
    same = sum(a == b for a, b in pairs) / n
    yes_theirs, yes_ours = (sum(pair[i] for pair in pairs) / n for i in (0, 1))
    chance = yes_theirs * yes_ours + (1 - yes_theirs) * (1 - yes_ours)
    return same, (same - chance) / (1 - chance)


# At least as good as the grader of research/mission.md §7 on each file.
@pytest.mark.parametrize(
    ("file", "accuracy", "kappa", "bias"),
    [("naive", 0.895, 0.76, 3.1), ("base", 0.890, 0.77, 0.7), ("gpt4_1", 0.869, 0.735, 1.2)],
)
def test_the_grader_agrees_with_the_released_judge(
    official: Path, file: str, accuracy: float, kappa: float, bias: float
) -> None:
    path = official / f"results/query_server/eval/{file}.json"
    pairs = list(judged(path))
    assert len(pairs) == 974
    found_accuracy, found_kappa = agreement(pairs)
    assert found_accuracy >= accuracy
    assert found_kappa >= kappa
    by_article = macro_bias(path)
    assert abs(by_article) <= bias


def macro_bias(path: Path) -> float:
    """Our mean accuracy over articles less theirs, in points."""
    articles: list[float] = []
    for article in json.loads(path.read_text(encoding="utf-8"))["articles"]:
        asked: list[dict[str, Any]] = [q for c in article["completions"] for q in c["questions"]]
        ours = [offline_score(q["question"], q["answer"], q["adapter_answer"]) for q in asked]
        articles.append(
            sum(o - q["adapter_correct"] for o, q in zip(ours, asked, strict=True)) / len(asked)
        )
    return 100 * sum(articles) / len(articles)


@pytest.mark.parametrize(
    ("question", "gold", "answer", "correct"),
    [
        ("When did it open?", "1871", "It opened in 1871.", True),
        ("When did it open?", "1871", "It opened in 1872.", False),
        ("When did it open?", "May 1871", "May", False),  # every number of the gold must stand
        ("How many piers?", "three", "3 piers", True),
        ("How many piers?", "3", "There are three.", True),
        ("How many piers?", "13", "3", False),
        ("Who built it?", "John the Builder", "It was built by John Builder", True),
        ("Who built it?", "John Smith", "Smith", True),
        ("Who built it?", "John Smith", "Mary Jones", False),
        ("Which harbour?", "the harbour of Ost", "a harbour", False),  # says nothing new
        ("Which harbour?", "the harbour of Ost", "Ost", True),
        ("What happened?", "cities flooded", "the city was flooding", True),
        ("Which one?", "The Who", "the who", True),
        ("Name?", "Ost-Vik", "ost vik", True),
        ("Which country?", "U.S.", "the US", True),
    ],
)
def test_known_answers(question: str, gold: str, answer: str, correct: bool) -> None:
    assert GRADER.grade(question, (gold,), answer).correct is correct


@given(st.text(), st.text(), st.text())
def test_any_text_is_right_or_wrong_and_never_crashes(q: str, gold: str, answer: str) -> None:
    assert offline_score(q, gold, answer) in (0.0, 1.0)


@given(st.text(st.characters(codec=None), min_size=1), st.text(st.characters(codec=None)))
def test_even_lone_surrogates_are_graded(gold: str, answer: str) -> None:
    assert GRADER.grade("?", (gold,), answer).correct in (True, False)


def test_every_real_gold_answers_itself(official: Path) -> None:
    rows = json.loads((official / "data/squad_val.json").read_text(encoding="utf-8"))
    pairs = {(q["question"], q["answer"]) for row in rows for q in row["questions"]}
    assert len(pairs) > 10_000
    assert [gold for q, gold in pairs if not GRADER.grade(q, (gold,), gold).correct] == []


@pytest.mark.parametrize("gold", ["A", "the", "%"])
def test_a_gold_of_articles_or_signs_answers_itself(gold: str) -> None:
    assert GRADER.grade("Which vitamin?", (gold,), gold).correct
