"""The arc domain: tasks in, prompts and training sets out, grids read; the real tasks, all 800."""

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest
from arc_made import call, grids
from hypothesis import given

from stages.domains.arc import Arc
from stages.domains.arc import grids as as_text
from stages.domains.arc.tasks import Pair, demonstrations
from stages.domains.arc.tool_call import parse
from stages.domains.arc.training_set import training_set
from stages.errors import ConfigError, InputError, InvalidSelfEdit
from stages.records import Training

arc = Arc()

ROOT = Path(__file__).parents[4]
RELEASE = ROOT.parent / "shared/data/official/few-shot/data"
TASK = {
    "title": "turn",
    "train": [
        {"input": [[1, 2]], "output": [[2, 1]]},
        {"input": [[3, 4]], "output": [[4, 3]]},
        {"input": [[5, 5]], "output": [[5, 5]]},
    ],
    "test": [{"input": [[7, 8]], "output": [[8, 7]]}, {"input": [[0, 1]]}],
}
ASKED = """Find the rule that turns each input grid into its output grid.

Input:
1 2
Output:
2 1

Input:
3 4
Output:
4 3

Input:
5 5
Output:
5 5

Input:
7 8
Output:
"""


def test_a_task_is_read() -> None:
    context, (first, second) = arc.read(TASK, ordinal=3, split="train")
    assert (context.title, context.ordinal, context.domain) == ("turn", 3, "arc")
    assert context.text.startswith('[{"input":[[1,2]],"output":[[2,1]]},')
    assert (first.question, first.answers) == ("[[7,8]]", ("[[8,7]]",))
    assert (second.question, second.answers) == ("[[0,1]]", ())


@pytest.mark.parametrize(
    "change",
    [
        {"title": None},
        {"train": []},
        {"train": {}},
        {"test": None},
        {"train": [{"input": [[1]]}]},
        {"train": [[1]]},
        {"test": [{"output": [[1]]}]},
        {"test": [{"input": [[1]], "output": [[11]]}]},
    ],
)
def test_what_is_no_task(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        arc.read(TASK | change, ordinal=0, split="")


def test_the_student_sees_the_demonstrations() -> None:
    context, questions = arc.read(TASK, ordinal=0, split="")
    assert arc.ask(context, questions[0]) == ASKED


def test_the_prompt_shows_the_demonstrations_and_no_test(tmp_path: Path) -> None:
    context, _ = arc.read(TASK, ordinal=0, split="")
    for name in ("default", *arc.PRESETS):
        text = arc.prompt(context, arc.recipe(name).steps[0].prompt)
        assert "Input:\n1 2\nOutput:\n2 1\n\nInput:\n3 4" in text
        assert "7 8" not in text
        assert "{demonstrations}" not in text
    own = tmp_path / "own.txt"
    own.write_text("{x} {demonstrations}")
    assert arc.recipe(str(own)).steps[0].prompt == "{x} {demonstrations}"
    own.write_text("nothing")
    for wrong in (str(own), "implications"):
        with pytest.raises(ConfigError):
            arc.recipe(wrong)


def test_the_form_that_is_asked_for_is_the_form_that_is_read() -> None:
    """The last line of the long prompt, with a choice made at each place."""
    form = arc.recipe("tools").steps[0].prompt.strip().splitlines()[-1]
    choices = {"true or false": "true", ": number,": ": 0.001,", ": number}": ": 2}"}
    for choice, chosen in choices.items():
        form = form.replace(choice, chosen)
    form = form.replace(' or "train_using_all_tokens"', "")
    assert parse(form).training.num_train_epochs == 2


def test_lessons_are_asked_as_tests_are() -> None:
    context, _ = arc.read(TASK, ordinal=0, split="")
    made = arc.lessons(context, call(), "tools", limit=100)
    assert len(made) == 3 + 6
    first = made[0]
    assert first.prompt.endswith("Input:\n5 5\nOutput:\n5 5\n\nInput:\n1 2\nOutput:\n")
    assert first.completion == "2 1"
    assert not first.learns_prompt
    every = arc.lessons(context, call(strategy="train_using_all_tokens"), "tools", limit=2)
    assert [example.learns_prompt for example in every] == [True, True]
    with pytest.raises(InvalidSelfEdit):
        arc.lessons(context, "no", "tools", limit=1)


def test_how_a_self_edit_wants_to_be_trained_on() -> None:
    assert arc.training(call(learning_rate=0.01, epochs=7)) == Training(7, 0.01)


@given(grids())
def test_an_answer_is_its_grid(grid: Any) -> None:
    assert arc.answer(as_text.to_text(grid)) == as_text.to_json(grid)
    assert arc.answer(f"Here it is:\n{as_text.to_text(grid)}\n\nmore") == as_text.to_json(grid)


def test_the_two_grids_that_come_most_often_are_the_attempts() -> None:
    assert arc.vote(["[[1]]", "[[2]]", "[[3]]", "who knows", "[[2]]"]) == "[[2]]\n[[1]]"
    assert arc.vote(["who", "knows"]) == "who"


def test_an_answer_that_is_no_grid_stays_as_it_was() -> None:
    assert arc.answer(" I do not know. ") == "I do not know."


def released(name: str) -> dict[str, Any]:
    if not RELEASE.is_dir():
        pytest.skip(f"the released ARC tasks are not at {RELEASE}")
    challenges = json.loads((RELEASE / f"arc-agi_{name}.json").read_text())
    solutions = json.loads(
        (RELEASE / f"arc-agi_{name.replace('challenges', 'solutions')}.json").read_text()
    )
    for title, task in challenges.items():
        for test, output in zip(task["test"], solutions[title], strict=True):
            test["output"] = output
        task["title"] = title
    return dict(challenges)


@pytest.mark.parametrize("half", ["training", "evaluation"])
def test_every_arc_task_is_read_rendered_and_read_back(half: str) -> None:
    rows = released(f"{half}_challenges")
    assert len(rows) == 400
    for ordinal, row in enumerate(rows.values()):
        context, questions = arc.read(row, ordinal=ordinal, split=half)
        assert [
            {"input": [list(r) for r in p.input], "output": [list(r) for r in p.output]}
            for p in demonstrations(context.text)
        ] == row["train"]
        blocks = arc.prompt(context, "{demonstrations}").split("Output:\n")[1:]
        outputs = [as_text.from_text(block) for block in blocks]
        assert outputs == [as_text.checked(pair["output"]) for pair in row["train"]]
        for question, test in zip(questions, row["test"], strict=True):
            asked = arc.ask(context, question).split("Input:\n")[-1]
            assert as_text.from_text(asked) == as_text.checked(test["input"])
            said = as_text.to_text(as_text.checked(test["output"]) or ())
            assert (arc.answer(said),) == question.answers


def test_the_papers_training_sets_are_built_in_time() -> None:
    """12 + 10 tasks, all 16 combinations of tools: valid, no duplicate, no test pair; 30 s."""
    rows = released("training_challenges_filtered_1B_training_set")
    rows |= released("evaluation_challenges_filtered_1B_eval_set")
    assert len(rows) == 22
    started, n_tasks = time.process_time(), 0
    for row in rows.values():
        context, _ = arc.read(row, ordinal=0, split="")
        pairs = demonstrations(context.text)
        tests = {(as_text.checked(t["input"]), as_text.checked(t["output"])) for t in row["test"]}
        for used in itertools.product((False, True), repeat=4):
            tools = parse(
                call(**dict(zip(("basic", "size", "chain", "repeat"), used, strict=True)))
            )
            made = list(training_set(pairs, tools.data_generation, seed=context.context_id))
            assert len({(t.shown, t.query) for t in made}) == len(made) >= len(pairs)
            for task in made:
                shown: tuple[Pair, ...] = (*task.shown, task.query)
                assert not {(p.input, p.output) for p in shown} & tests
                assert all(as_text.checked(side) for p in shown for side in (p.input, p.output))
            n_tasks += len(made)
    seconds = time.process_time() - started
    print(f"{n_tasks} tasks in {seconds:.1f} s")
    assert seconds < 30


def test_a_task_is_rehearsed_by_asking_each_demonstration_with_the_others_in_view() -> None:
    context, _ = arc.read(TASK, ordinal=0, split="train")
    rehearsed = arc.rehearsal(context)
    assert [example.completion.split() for example in rehearsed] == [
        ["2", "1"],
        ["4", "3"],
        ["5", "5"],
    ]
    assert rehearsed[0].prompt.index("3 4") < rehearsed[0].prompt.index("1 2")  # asked last
    assert "2 1" not in rehearsed[0].prompt
    others = TASK | {"train": TASK["train"][1:], "test": TASK["train"][:1]}  # type: ignore[index]
    asked, (question,) = arc.read(others, ordinal=0, split="train")
    assert rehearsed[0].prompt == arc.ask(asked, question)
    assert all("7 8" not in example.prompt for example in rehearsed)  # no test
    alone, _ = arc.read(TASK | {"train": TASK["train"][:1]}, ordinal=0, split="train")  # type: ignore[index]
    assert arc.rehearsal(alone) == []
