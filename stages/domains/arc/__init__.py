"""Few-shot learning on ARC (paper §4.2): demonstrations become a tool call; grids graded exactly.

A context is a task: its text the demonstrations as JSON. A question is a test input, its answer the
output grid, both as JSON. The self-edit says how to make a training set of the demonstrations and
how to train on it; the student is asked with the demonstrations in view.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.domains.arc import grids
from stages.domains.arc.tasks import asked, demonstrations, shown
from stages.errors import ConfigError, InputError
from stages.identity import canonical, digest
from stages.records import Context, Example, Question, Training

NAME = "arc"
SEMANTICS = 1
STOP = "\n\n"  # a grid has no blank line

PROMPTS = Path(__file__).parent / "prompts"
PRESETS = ("tools", "tools-brief")
GRADER = "arc-grid"


def read(row: Mapping[str, Any], *, ordinal: int, split: str) -> tuple[Context, list[Question]]:
    """A dict with `title`, `train` and `test`: lists of {input, output}.

    A test may lack its output: it is then a question without an answer.

    Raises:
        InputError: a grid is none, or there is no demonstration.

    """
    title, pairs, tests = row.get("title"), row.get("train"), row.get("test")
    if not isinstance(title, str) or not isinstance(pairs, list) or not isinstance(tests, list):
        raise InputError(
            f"task {ordinal} has no title, 'train' and 'test'.", "Give ARC's own JSON."
        )
    context = context_of(title, [_pair(pair, f"task {title}") for pair in pairs], ordinal, split)
    if not pairs:
        raise InputError(f"task {title} has no demonstrations.", "Leave it out.")
    return context, [_question(test, context, i) for i, test in enumerate(tests)]


def context_of(
    title: str, pairs: Sequence[Mapping[str, grids.Grid]], ordinal: int, split: str
) -> Context:
    """A task's demonstrations; known by its name and them."""
    text = canonical(pairs)
    return Context(digest(NAME, title, text), ordinal, NAME, split, title, text)


def question_of(
    context: Context, ordinal: int, test: grids.Grid, golds: Sequence[grids.Grid]
) -> Question:
    """A test input and the output grids that are right."""
    text = grids.to_json(test)
    answers = tuple(map(grids.to_json, golds))
    question_id = digest(context.context_id, ordinal, text)
    return Question(question_id, context.context_id, ordinal, text, answers)


def _pair(pair: Any, place: str) -> dict[str, grids.Grid]:
    return {side: _grid(pair, side, place) for side in ("input", "output")}


def _question(test: Any, context: Context, ordinal: int) -> Question:
    place = f"test {ordinal} of task {context.title}"
    before = _grid(test, "input", place)
    golds = [_grid(test, "output", place)] if test.get("output") is not None else []
    return question_of(context, ordinal, before, golds)


def _grid(pair: Any, side: str, place: str) -> grids.Grid:
    found = grids.checked(pair.get(side)) if isinstance(pair, Mapping) else None
    if found is None:
        raise InputError(
            f"{place}: its {side} is no grid.",
            "A grid has 1 to 30 rows of one length, 1 to 30, of whole numbers 0 to 9.",
        )
    return found


def template(prompt: str) -> tuple[str, str]:
    """A preset (`default` is the first), or a UTF-8 text file with {demonstrations} in it."""
    if prompt in ("default", *PRESETS):
        name = PRESETS[0] if prompt == "default" else prompt
        return name, (PROMPTS / f"{name}.txt").read_text(encoding="utf-8")
    path = Path(prompt)
    if not path.is_file():
        raise ConfigError(
            f"no prompt {prompt!r}.", f"Presets: {', '.join(PRESETS)}; or give a text file."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompt file {path} is not UTF-8 text.", "Save it as UTF-8.") from error
    if "{demonstrations}" not in text:
        raise ConfigError(
            f"prompt file {path} does not use the task.", "Put {demonstrations} in it."
        )
    return path.stem, text


def prompt(context: Context, template: str) -> str:
    """The template with the demonstrations in it; braces elsewhere are left alone."""
    return template.replace("{demonstrations}", shown(demonstrations(context.text)))


def training(completion: str) -> Training:
    """The learning rate and epochs that a self-edit asks for. Raises InvalidSelfEdit."""
    from stages.domains.arc.tool_call import parse

    wanted = parse(completion).training
    return Training(wanted.num_train_epochs, wanted.learning_rate)


def lessons(context: Context, completion: str, prompt_name: str, *, limit: int) -> list[Example]:
    """The first `limit` tasks of the training set that a self-edit asks for, asked as in a test.

    Raises:
        InvalidSelfEdit: it is no tool call.

    """
    from itertools import islice

    from stages.domains.arc.tool_call import parse
    from stages.domains.arc.training_set import training_set

    call = parse(completion)
    every = call.training.strategy == "train_using_all_tokens"
    tasks = training_set(
        demonstrations(context.text), call.data_generation, seed=context.context_id
    )
    return [
        Example(
            asked(task.shown, task.query.input),
            grids.to_text(task.query.output),
            learns_prompt=every,
        )
        for task in islice(tasks, limit)
    ]


def passage_lessons(context: Context) -> list[Example]:
    """None: there is nothing to train on without a self-edit that says how."""
    return []


def ask(context: Context, question: Question) -> str:
    """The demonstrations, then the test input."""
    test = grids.from_json(question.question)
    assert test is not None  # only checked grids become questions
    return asked(demonstrations(context.text), test)


def answer(completion: str) -> str:
    """The grid that was written, as JSON; what is no grid stays as it is, and is wrong."""
    found = grids.from_text(completion)
    return grids.to_json(found) if found is not None else completion.strip()
