"""Questions that a model wrote: read in whatever way it put them."""

from pathlib import Path

import pytest

from stages.domains import knowledge, questions
from stages.errors import ConfigError

FORMS = {
    "as the prompt asks": "Question 1: Who?\nAnswer: Ada\nQuestion 2: When?\nAnswer: 1871",
    "one line each": "Question: Who? Answer: Ada\nQuestion: When? Answer: 1871",
    "short marks": "Q1: Who?\nA1: Ada\n\nQ2: When?\nA2: 1871",
    "markdown": "**Question 1:** Who?\n**Answer:** Ada\n\n**Question 2:** When?\n**Answer:** 1871",
    "a numbered list": "1. Who?\nAnswer: Ada\n2. When?\nAnswer: 1871",
    "no mark before the answer": "1) Who? Ada\n2) When?\n1871",
    "no marks at all": "Who? Ada\nWhen? 1871",
    "talk around it": "Here you are:\nQ: Who?\nA: 'Ada'\n\nQ: When?\nA: 1871\n\nThat is all.",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_every_form_is_read(text: str) -> None:
    assert [pair[1:] for pair in questions.written(text)] == [("Who?", "Ada"), ("When?", "1871")]


def test_what_has_no_answer_keeps_its_question() -> None:
    found = questions.written("Question 1: Who built it?\nQuestion 2: When?\nAnswer: 1871")
    assert [pair[1:] for pair in found] == [("Who built it?", ""), ("When?", "1871")]
    assert found[0][0] == "Question 1: Who built it?"


def test_a_word_that_looks_like_a_mark_is_none() -> None:
    (found,) = questions.written("Question: Which vitamin, vitamin A: or B: is it?\nAnswer: A")
    assert found[1:] == ("Which vitamin, vitamin A: or B: is it?", "A")


@pytest.mark.parametrize("text", ["", "Much could be written about it.", "\n\n"])
def test_a_text_without_questions_has_none(text: str) -> None:
    assert questions.written(text) == []


def test_endless_texts_are_cut() -> None:
    text = "".join(f"Question {i}: Who?\nAnswer: Ada\n" for i in range(5000))
    assert len(questions.written(text)) == questions.MAX_WRITTEN
    assert questions.written("?" * 100_000) == []


def test_the_default_prompt_is_the_domains_own(tmp_path: Path) -> None:
    own = knowledge.recipe("self-qa")
    assert questions.template("default") == (own.name, own.steps[0].prompt)
    with pytest.raises(ConfigError, match="is a recipe of 2 steps"):
        questions.template("active-reading")
    with pytest.raises(ConfigError, match="no prompt"):
        questions.template(str(tmp_path / "none.txt"))


def test_a_question_in_view_comes_after_the_passage_in_the_form_of_the_prompt() -> None:
    row = {"title": "T", "context": "It opened in 1871.",
           "questions": [{"question": "When?", "answer": "1871"}]}  # fmt: skip
    context, (asked,) = knowledge.read(row, ordinal=0, split="train")
    prompt = questions.ask_in_view(context, asked)
    assert prompt.endswith("Question 1: When?\nAnswer:")
    assert context.text in prompt
    assert "1871" not in prompt.split(context.text)[1]
