"""The knowledge domain: passages in, prompts and training texts out, answers read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.domains import knowledge
from stages.errors import ConfigError, InputError, InvalidSelfEdit
from stages.records import Context, Question

SQUAD = "data/squad_val.json"


def context_of(title: str = "Ost", text: str = "The harbour opened in 1871.") -> Context:
    return knowledge.read({"title": title, "context": text}, ordinal=0, split="")[0]


def lessons(completion: str, prompt: str = "implications", limit: int = 128) -> list[str]:
    examples = knowledge.lessons(context_of(), completion, prompt, limit=limit)
    assert all(example.prompt == "" and example.ends for example in examples)
    return [example.completion for example in examples]


PASSAGE = "Ost\nThe harbour opened in 1871."


@pytest.mark.parametrize("field", ["context", "text", "passage"])
def test_a_passage_stands_under_any_of_three_names(field: str) -> None:
    context, asked = knowledge.read({field: " Old. "}, ordinal=3, split="train")
    assert (context.text, context.title, context.split, context.ordinal) == ("Old.", "", "train", 3)
    assert asked == []


def test_a_context_is_its_title_and_text_and_nothing_else() -> None:
    row = {"title": "Ost", "context": "Old."}
    same = [
        knowledge.read(row | extra, ordinal=i, split=f"s{i}")[0].context_id
        for i, extra in enumerate([{}, {"questions": []}, {"split": "x"}, {"text": "other"}])
    ]
    assert len(set(same)) == 1
    assert context_of("Ost", "Older.").context_id != same[0]
    assert context_of("Os", "tOld.").context_id != context_of("Ost", "Old.").context_id


@pytest.mark.parametrize(
    ("given", "golds"),
    [
        ({"answer": "1871"}, ("1871",)),
        ({"answers": ["1871", "in 1871", "1871"]}, ("1871", "in 1871")),
        ({"answers": [{"text": "1871", "answer_start": 3}]}, ("1871",)),
        ({"answers": {"text": ["1871"], "answer_start": [3]}}, ("1871",)),
        ({"answers": " 1871 "}, ("1871",)),
    ],
)
def test_golds_are_read_in_every_layout_and_once(given: Any, golds: tuple[str, ...]) -> None:
    row = {"context": "Old.", "questions": [{"question": " When? ", **given}]}
    (asked,) = knowledge.read(row, ordinal=0, split="")[1]
    assert (asked.answers, asked.question, asked.origin) == (golds, "When?", "gold")


def test_the_same_question_twice_in_a_passage_is_two_questions() -> None:
    item = {"question": "When?", "answer": "1871"}
    asked = knowledge.read({"context": "Old.", "questions": [item, item]}, ordinal=0, split="")[1]
    assert [question.ordinal for question in asked] == [0, 1]
    assert asked[0].question_id != asked[1].question_id


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"context": ""},
        {"context": 3},
        {"context": "x" * 1_000_001},
        {"context": "Old.", "questions": "When?"},
        {"context": "Old.", "questions": ["When?"]},
        {"context": "Old.", "questions": [{"question": "When?"}]},
        {"context": "Old.", "questions": [{"question": "When?", "answers": []}]},
        {"context": "Old.", "questions": [{"question": "When?", "answers": [3]}]},
        {"context": "Old.", "questions": [{"question": None, "answer": "1871"}]},
        {"context": "Old.", "questions": [{"question": "When?", "answers": {"text": None}}]},
    ],
    ids=lambda row: str(row)[:60],
)
def test_a_wrong_shape_is_an_input_error_that_says_what_is_needed(row: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        knowledge.read(row, ordinal=7, split="")
    assert refused.value.hint


def test_control_characters_and_lone_surrogates_are_taken_out_of_input() -> None:
    row = {
        "title": "O\x1bst",
        "context": "Old\x00\ud800.\nNew\ttab.",
        "questions": [{"question": "Wh\x07en?", "answer": "18\x7f71"}],
    }
    context, (asked,) = knowledge.read(row, ordinal=0, split="")
    assert (context.title, context.text) == ("Ost", "Old?.\nNew\ttab.")
    assert (asked.question, asked.answers) == ("When?", ("1871",))


@pytest.mark.parametrize(
    "item", [{"question": "When?", "answer": " "}, {"question": " ", "answer": "1"}]
)
def test_a_blank_question_or_gold_is_not_understood(item: dict[str, str]) -> None:
    with pytest.raises(InputError):
        knowledge.read({"context": "Old.", "questions": [item]}, ordinal=0, split="")


@pytest.mark.parametrize("preset", knowledge.PRESETS)
def test_every_preset_shows_the_passage_and_its_title(preset: str) -> None:
    recipe = knowledge.recipe(preset)
    assert recipe.name == preset
    for step in recipe.steps:
        items = dict.fromkeys(step.places, "light")
        filled = knowledge.prompt(context_of(), step.prompt, items)
        assert "The harbour opened in 1871." in filled
        assert "Ost" in filled
        assert "{" not in filled


def test_the_presets_ask_for_different_things() -> None:
    steps = {knowledge.recipe(preset).steps for preset in knowledge.PRESETS}
    assert len(steps) == len(knowledge.PRESETS) == 10


def test_a_prompt_file_is_known_by_its_stem(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("Geschwätz über {context}", encoding="utf-8")
    recipe = knowledge.recipe(str(path))
    assert (recipe.name, recipe.steps[0].prompt) == ("mine", "Geschwätz über {context}")


@pytest.mark.parametrize("content", [None, b"no placeholder", b"{context} \xff"])
def test_a_prompt_that_cannot_be_used_is_a_config_error(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "mine.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        knowledge.recipe(str(path))
    assert refused.value.hint


def test_braces_and_placeholders_inside_a_passage_are_left_alone() -> None:
    text = r"C uses {braces}, {title}, {context}, {0}, {{ jinja }} and \1 \g<0>."
    filled = knowledge.prompt(context_of("{context}", text), "T={title} C={context} {other} {}")
    assert filled == f"T={{context}} C={text} {{other}} {{}}"


def test_a_question_is_asked_under_its_title_without_the_passage() -> None:
    asked = Question("q", "c", 0, "What does {title} mean?", ("x",))
    text = knowledge.ask(context_of("{question}"), asked)
    assert "Topic: {question}\nQuestion: What does {title} mean?\n" in text
    assert "1871" not in text


def test_each_line_is_a_sequence_under_the_title_and_the_passage_is_the_last() -> None:
    assert lessons("It is old.\n\n  It has a quay. \n") == [
        "Ost\nIt is old.",
        "Ost\nIt has a quay.",
        PASSAGE,
    ]


def test_a_passage_is_rehearsed_as_it_is_trained_on() -> None:
    context, _ = knowledge.read({"title": "T", "context": "Text."}, ordinal=0, split="train")
    assert knowledge.rehearsal(context) == knowledge.passage_lessons(context)


def test_without_a_title_a_sequence_is_the_line_alone() -> None:
    examples = knowledge.lessons(context_of(""), "Old.", "implications", limit=9)
    assert [example.completion for example in examples] == ["Old.", "The harbour opened in 1871."]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_separates(end: str) -> None:
    assert lessons(f"One.{end}Two.") == ["Ost\nOne.", "Ost\nTwo.", PASSAGE]


@pytest.mark.parametrize(
    ("completion", "kept"),
    [
        ("Here are some:\n1. Old.\n2. Big.", ["1. Old.", "2. Big."]),
        ("Here are some:\n\n1. Old.", ["1. Old."]),
        ("1. Old.\n2. Big.", ["1. Old.", "2. Big."]),
        ("Here are some:\n- Old.", ["Here are some:", "- Old."]),
        ("1. Old.", ["1. Old."]),
        ("Old.\nBig.\n1. Wide.", ["Old.", "Big.", "1. Wide."]),
        ("It grew.\n1.5 million live there.", ["It grew.", "1.5 million live there."]),
    ],
)
def test_a_first_line_that_only_announces_a_numbered_list_is_dropped(
    completion: str, kept: list[str]
) -> None:
    assert lessons(completion) == [*(f"Ost\n{line}" for line in kept), PASSAGE]


def test_a_question_and_its_answer_stay_together_for_self_qa() -> None:
    text = "Question 1: When?\nAnswer: 1871\n\nQuestion  2 : How high?\nAnswer: 31 m"
    assert lessons(text, "self-qa") == [
        "Ost\nQuestion 1: When?\nAnswer: 1871",
        "Ost\nQuestion  2 : How high?\nAnswer: 31 m",
        PASSAGE,
    ]
    assert len(lessons(text, "implications")) == 5


def test_the_limit_counts_the_passage_and_keeps_the_first_lines() -> None:
    text = "\n".join(f"Line {i}." for i in range(10))
    assert lessons(text, limit=3) == ["Ost\nLine 0.", "Ost\nLine 1.", PASSAGE]
    assert lessons(text, limit=1) == [PASSAGE]
    assert len(lessons(text, limit=11)) == 11


@pytest.mark.parametrize(
    "completion",
    ["", "  \n\t\n", "x" * 10_000_000, "a\x00b", "a\x1b[31mred", "a\x08", "\x7f"],
    ids=lambda text: repr(text[:12]),
)
def test_what_cannot_be_trained_on_is_an_invalid_self_edit(completion: str) -> None:
    with pytest.raises(InvalidSelfEdit) as refused:
        lessons(completion)
    assert len(refused.value.message) < 200


def test_200_000_characters_are_the_most() -> None:
    assert len(lessons("x" * 200_000)) == 2
    with pytest.raises(InvalidSelfEdit):
        lessons("x" * 200_001)


def test_lone_surrogates_are_an_invalid_self_edit() -> None:
    with pytest.raises(InvalidSelfEdit):
        lessons("half a \ud83d smiley")


@given(
    text=st.text(max_size=300) | st.text(alphabet="1. \n\rQuestion:aA\x00", max_size=80),
    prompt=st.sampled_from(knowledge.PRESETS),
    limit=st.integers(2, 6),
)
def test_any_text_is_invalid_or_gives_between_two_and_limit_sequences(
    text: str, prompt: str, limit: int
) -> None:
    try:
        found = lessons(text, prompt, limit)
    except InvalidSelfEdit:
        return
    assert 2 <= len(found) <= limit
    assert found[-1] == PASSAGE
    assert all(line.removeprefix("Ost\n").strip() for line in found)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (" 1871\nQuestion: next?", "1871"),
        ("\n\n  1871  ", "1871"),
        ("", ""),
        (" \n ", ""),
        ("1871\r\nmore", "1871"),
    ],
)
def test_the_answer_is_the_first_line_that_is_not_blank(said: str, answer: str) -> None:
    assert knowledge.answer(said) == answer


def test_every_real_passage_is_read_without_loss(official: Path) -> None:
    rows = json.loads((official / SQUAD).read_text(encoding="utf-8"))
    read = [knowledge.read(row, ordinal=i, split="val") for i, row in enumerate(rows)]
    assert (len(read), sum(len(asked) for _, asked in read)) == (2067, 10570)
    assert len({context.context_id for context, _ in read}) == 2067
    assert len({q.question_id for _, asked in read for q in asked}) == 10570
    template = knowledge.recipe("implications").steps[0].prompt
    for (context, _), row in zip(read, rows, strict=True):
        assert context.text == row["context"].strip()
        assert context.text in knowledge.prompt(context, template)


@pytest.mark.parametrize("file", ["base_val", "gpt4_1_val"])
def test_every_real_self_edit_can_be_trained_on(official: Path, file: str) -> None:
    path = official / f"data/synthetic_data/eval/{file}.json"
    for row in json.loads(path.read_text(encoding="utf-8")):
        context, _ = knowledge.read(row, ordinal=0, split="val")
        for text in row["completions"]:
            found = knowledge.lessons(context, text.strip(), "implications", limit=128)
            assert len(found) >= 2
