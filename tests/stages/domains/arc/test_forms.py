"""The two ways to write a task down: text of each kind, read back, with and without a system."""

from typing import Any

import pytest
from arc_made import call, grids
from hypothesis import given
from hypothesis import strategies as st

from stages.domains.arc import Arc
from stages.domains.arc.forms import FORMS, Form
from stages.domains.arc.grids import from_lists, to_json, to_lists
from stages.domains.arc.settings import ArcConfig
from stages.tokens import plain

TASK = {
    "title": "turn",
    "train": [
        {"input": [[1, 2], [0, 0]], "output": [[2, 1], [0, 0]]},
        {"input": [[3, 4]], "output": [[4, 3]]},
    ],
    "test": [{"input": [[7, 8]], "output": [[8, 7]]}],
}
LISTS = """[[1 2]
 [0 0]] -> [[2 1]
 [0 0]]#
[[3 4]] -> [[4 3]]#"""


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    return request.param  # type: ignore[no-any-return]


@given(grids())
def test_a_grid_is_nested_lists_as_numpy_prints_them(grid: Any) -> None:
    numpy = pytest.importorskip("numpy")
    assert to_lists(grid) == str(numpy.array(grid))
    assert from_lists(to_lists(grid)) == grid
    assert from_lists(to_json(grid)) == grid


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("[[1 2]\n [3 4]]#", ((1, 2), (3, 4))),
        ("The output: [[1,2],[3,4]] and [[5]]", ((1, 2), (3, 4))),
        ("[ [ 1 ] ]", ((1,),)),
        ("[[1 2] [3]]", None),
        ("[[12]]", None),
        ("[[" + "1" * 9999 + "]]", None),
        ("[[1 2]\n [3 4]", None),
        ("[1 2]", None),
        ("[[]]", None),
        ("[[\u0661]]", None),
        ("1 2\n3 4", None),
        ("", None),
    ],
)
def test_the_first_lists_of_a_text(text: str, grid: Any) -> None:
    assert from_lists(text) == grid


@given(st.text(alphabet="[] ,0123\n->#"))
def test_no_text_is_too_odd(text: str) -> None:
    found = from_lists(text)
    assert found is None or from_lists(to_lists(found)) == found


@given(grids())
def test_what_a_student_should_say_is_read_back(grid: Any) -> None:
    for form in FORMS.values():
        said = form.output(grid)
        assert form.read(said) == grid
        assert form.stop not in said.removesuffix(form.after)


def test_a_task_in_lists() -> None:
    domain = Arc(ArcConfig(grids="lists"))
    context, (question,) = domain.read(TASK, ordinal=0, split="")
    asked = domain.ask(context, question)
    introduction, _, rest = asked.partition("\n\n")
    assert "list" in introduction
    assert rest == f"{LISTS}\n[[7 8]] -> "
    assert domain.ask_system(context) == ""
    assert domain.STOP == "#"
    assert domain.answer("[[8 7]]#") == "[[8,7]]"
    assert domain.answer("8 7") == "8 7"  # no grid in this form
    first, *_ = domain.lessons(context, call(), "tools", limit=9)
    assert first.prompt.endswith("[[4 3]]#\n[[1 2]\n [0 0]] -> ")
    assert first.completion == "[[2 1]\n [0 0]]#"


@pytest.mark.parametrize("grids_as", FORMS)
def test_with_a_system_message_only_the_query_is_left_in_the_prompt(grids_as: str) -> None:
    whole = Arc(ArcConfig(grids=grids_as))
    parted = Arc(ArcConfig(grids=grids_as, system_message=True))
    context, (question,) = whole.read(TASK, ordinal=0, split="")
    for view in range(whole.VIEWS):
        system, prompt = parted.ask_system(context, view), parted.ask(context, question, view)
        asked = whole.ask(context, question, view)
        assert asked.startswith(system)
        assert asked.endswith(prompt)
        assert asked.removeprefix(system).removesuffix(prompt).strip() == ""
    for one, other in zip(
        whole.lessons(context, call(basic=True), "tools", limit=99),
        parted.lessons(context, call(basic=True), "tools", limit=99),
        strict=True,
    ):
        assert one.completion == other.completion
        assert plain(other.prompt, other.system).split() == one.prompt.split()
    rehearsed, *_ = parted.rehearsal(context)
    assert rehearsed.system
    assert "\n\n" not in rehearsed.prompt


def test_another_view_turns_all_that_is_seen_and_the_answer_back() -> None:
    domain = Arc(ArcConfig(system_message=True))
    context, (question,) = domain.read(TASK, ordinal=0, split="")
    assert "Input:\n4\n3\nOutput:\n3\n4" in domain.ask_system(context, 1)
    assert domain.ask(context, question, 1) == "Input:\n8\n7\nOutput:\n"
    assert domain.answer("7\n8", 1) == "[[8,7]]"


def test_the_policy_sees_rows_in_any_case_and_a_system_message_where_it_is_wanted() -> None:
    plainly, paper = Arc(), Arc(ArcConfig(grids="lists", system_message=True))
    context, _ = plainly.read(TASK, ordinal=0, split="")
    template = plainly.recipe("tools").steps[0].prompt
    assert plainly.prompt(context, template) == paper.prompt(context, template)
    assert "Input:\n1 2\n0 0\nOutput:\n2 1\n0 0" in paper.prompt(context, template)
    assert plainly.prompt_system() == ""
    assert paper.prompt_system()
