"""Recipes: which files are ones, what the others are told, and how texts are taken apart."""

import copy
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import recipes
from stages.domains import DOMAINS, knowledge
from stages.domains.arc import Arc
from stages.errors import ConfigError
from stages.recipes import Recipe, Step

PAIRS: list[dict[str, Any]] = [
    {"name": "things", "items": 4, "prompt": "List: {context}"},
    {"name": "pairs", "each": "things", "choose": 2, "most": 3, "split": "none",
     "prompt": "{first} and {second} in {context}?"},
]  # fmt: skip


def toml(steps: list[dict[str, Any]]) -> str:
    """Steps as a file would have them."""

    def value(given: object) -> str:
        if isinstance(given, bool):
            return str(given).lower()
        return f"'''{given}'''" if isinstance(given, str) else str(given)

    return "\n".join(
        "\n".join(["[[steps]]", *(f"{key} = {value(given)}" for key, given in step.items())])
        for step in steps
    )


def parse(text: str, name: str = "own") -> Recipe:
    return recipes.parse(text, name=name, place="recipe own.toml", slots=("context", "title"))


def refused(text: str) -> str:
    """Why a recipe is refused, with what to do about it."""
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert error.value.hint
    assert "own.toml" in error.value.message
    assert len(error.value.message) < 300
    return f"{error.value.message} {error.value.hint}"


def test_a_recipe_has_its_steps_and_the_last_is_learned() -> None:
    recipe = parse(toml(PAIRS))
    assert recipe.steps == (
        Step("things", "List: {context}", items=4),
        Step("pairs", "{first} and {second} in {context}?", "none", "things", 2, 3, learn=True),
    )
    assert not recipe.single
    assert parse(toml(PAIRS[:1])).single


def test_a_recipe_is_known_by_all_it_says_and_not_by_its_comments() -> None:
    plain = parse(toml(PAIRS)).digest
    assert parse("# a comment\n" + toml(PAIRS), name="other").digest == plain
    said = [
        (i, {key: new})
        for i, key, new in [
            (0, "prompt", "List all: {context}"), (0, "items", 5), (1, "most", 4),
            (1, "split", "lines"), (0, "learn", True), (1, "prompt", "{second} {first} {context}"),
        ]
    ]  # fmt: skip
    others = {plain}
    for i, change in said:
        steps = copy.deepcopy(PAIRS)
        steps[i] |= change
        others.add(parse(toml(steps)).digest)
    assert len(others) == 1 + len(said)


@pytest.mark.parametrize(
    ("step", "change", "why"),
    [
        (0, {"name": ""}, "has no name"),
        (0, {"name": "Two Words"}, "no name"),
        (0, {"name": "context"}, "taken"),
        (0, {"name": "first"}, "taken"),
        (1, {"name": "things"}, "taken"),
        (0, {"prompt": " "}, "has no prompt"),
        (0, {"prompt": "List."}, "lacks {context}"),
        (0, {"prompt": "List: {context} {item}"}, "nothing stands for {item}"),
        (0, {"prompt": "{pairs} {context}"}, "nothing stands for {pairs}"),
        (0, {"items": 0}, "From 1 to 50"),
        (0, {"items": 10**9}, "From 1 to 50"),
        (0, {"items": 1}, "chooses 2 of 1"),
        (0, {"items": True}, "a whole number"),
        (0, {"items": "4"}, "a whole number"),
        (0, {"itmes": 4}, "Did you mean items?"),
        (0, {"each": "pairs"}, "no earlier step"),
        (0, {"most": 4}, "goes with each"),
        (1, {"each": "things2"}, "Earlier: things"),
        (1, {"most": 10**30}, "From 1 to 100"),
        (1, {"choose": 4}, "From 1 to 3"),
        (1, {"choose": 3}, "lacks {third}"),
        (1, {"choose": 1}, "nothing stands for {first}"),
        (1, {"split": "words"}, "lines, blocks"),
        (1, {"learn": "yes"}, "true or false"),
        (1, {"learn": False}, "no step to learn from"),
        (1, {"prompt": "{first} and more"}, "lacks {second}"),
        (1, {"prompt": 3}, "Give a text"),
    ],
    ids=str,
)
def test_a_step_that_cannot_be_followed(step: int, change: dict[str, Any], why: str) -> None:
    steps = copy.deepcopy(PAIRS)
    steps[step] |= change
    assert why in refused(toml(steps))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no steps"),
        ("steps = 3", "no steps"),
        ("steps = [1, 2]", "no steps"),
        ("steps = []", "no steps"),
        ("[steps]\nname = 'a'", "no steps"),
        ("prompt = 'x'\n" + toml(PAIRS), "the key 'prompt'"),
        ("[[steps]\n", "not TOML"),
        ("a = " + "[" * 5000, "not TOML"),
        ("[[steps]]\n" * 9, "9 steps"),
    ],
    ids=lambda text: text[:20],
)
def test_a_file_that_is_no_recipe(text: str, why: str) -> None:
    assert why in refused(text)


_SCRAPS = st.sampled_from(
    ["steps", "name", "prompt", "each", "choose", "most", "items", "split", "learn", "{context}",
     "{item}", "'", '"', "[", "]", "[[steps]]", "\n", "=", "a", "1", "9" * 30, "true", "1e400",
     "nan", "1979-05-27", "\x00", "\u2028"]
)  # fmt: skip
_VALUES = st.one_of(
    st.text(max_size=20), st.integers(), st.booleans(), st.sampled_from(["things", "pairs", "none"])
)
_KEYS = [field.name for field in fields(Step)]
_STEPS = st.lists(
    st.dictionaries(
        st.sampled_from([*_KEYS, "x"]),
        _VALUES.filter(lambda value: "'" not in str(value)),
        max_size=9,
    ),
    max_size=4,
)  # fmt: skip


@given(text=st.lists(_SCRAPS, max_size=30).map("".join) | st.text(max_size=60) | _STEPS.map(toml))
def test_any_text_is_a_recipe_or_refused_with_a_hint(text: str) -> None:
    try:
        recipe = parse(text)
    except ConfigError:
        assert refused(text)
    else:
        assert any(step.learn for step in recipe.steps)


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
def test_the_shipped_ones_can_be_followed(domain: Any) -> None:
    for preset in domain.PRESETS:
        recipe = domain.recipe(preset)
        assert recipe.steps[-1].learn
        for step in recipe.steps:
            assert f"{{{domain.SLOTS[0]}}}" in step.prompt


def test_a_recipe_of_ones_own_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(toml(PAIRS))
    assert knowledge.recipe(str(path)) == parse(toml(PAIRS), name="mine")
    with pytest.raises(ConfigError) as error:
        Arc().recipe(str(path))
    assert "nothing stands for {context}" in error.value.message
    with pytest.raises(ConfigError) as error:
        knowledge.recipe("entity-pears")
    assert "entity-pairs" in error.value.hint
    path.write_text("x" * 200_001)
    with pytest.raises(ConfigError):
        knowledge.recipe(str(path))


def test_filling_is_done_once_and_other_braces_stay() -> None:
    values = {"item": "{context}", "context": "{item} {x}"}
    assert recipes.fill("{item}|{context}|{x}|{}", values) == "{context}|{item} {x}|{x}|{}"


@pytest.mark.parametrize(
    ("split", "found"),
    [
        ("lines", ["One.", "two", "Three."]),
        ("blocks", ["One.\ntwo", "Three."]),
        ("questions", ["One.\ntwo\n \nThree."]),
        ("none", ["One.\ntwo\n \nThree."]),
    ],
)
def test_where_a_text_ends(split: str, found: list[str]) -> None:
    assert recipes.texts("\nOne.\r\ntwo\n \nThree.\n\n", split) == found
    assert recipes.texts(" \n ", split) == []


def test_a_numbered_block_does_not_make_the_one_before_it_an_announcement() -> None:
    assert recipes.texts("Old.\n\n1. Big.", "blocks") == ["Old.", "1. Big."]


@given(st.lists(st.text(alphabet="ab.1 \n\r\t", max_size=12), max_size=5))
def test_texts_that_were_joined_are_found_again(written: list[str]) -> None:
    documents = [text for one in written for text in recipes.texts(one, "none")]
    found = recipes.texts(recipes.joined(documents), "blocks")
    assert len(found) == len(documents)
    assert ["".join(text.split()) for text in found] == [
        "".join(text.split()) for text in documents
    ]
    assert all("\n\n" not in text for text in found)


def test_items_are_bare_and_there_once() -> None:
    step = Step("things", "", items=4)
    outputs = ["Here they are:\n- Ost\n* The light\n1. ost\n2) 31 m", "•  Ships\n(3) Quays\n\n1871"]
    assert recipes.items(step, outputs) == ["Ost", "The light", "31 m", "Ships"]
    assert recipes.items(Step("things", ""), outputs)[4:] == ["Quays", "1871"]
    assert recipes.items(Step("things", "", "blocks"), ["A way\nto read.\n\nAnother."]) == [
        "A way\nto read.",
        "Another.",
    ]


def test_what_is_chosen_follows_the_seed_and_keeps_the_order() -> None:
    found = list("abcdefgh")
    step = Step("pairs", "", each="things", choose=2, most=5)
    first = recipes.chosen(step, found, 1)
    assert len(set(first)) == 5
    assert all(a < b for a, b in first)
    assert all(a < b for a, b in pairwise(first))
    assert first == recipes.chosen(step, found, 1) != recipes.chosen(step, found, 2)
    assert recipes.chosen(step, found[:3], 1) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert recipes.chosen(step, found[:1], 1) == []
