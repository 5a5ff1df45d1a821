"""Few-shot learning on ARC (paper §4.2): demonstrations become a tool call; grids graded exactly.

A context is a task: its text the demonstrations as JSON. A question is a test input, its answer the
output grid, both as JSON. The self-edit says how to make a training set of the demonstrations and
how to train on it; the student is asked with the demonstrations in view. How tasks are written down
and multiplied is said by `stages.domains.arc.settings`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from stages import recipes
from stages.domains.arc import grids
from stages.domains.arc.forms import FORMS, ROWS
from stages.domains.arc.settings import ArcConfig
from stages.domains.arc.tasks import Pair, demonstrations
from stages.errors import InputError, InvalidSelfEdit
from stages.identity import canonical, digest
from stages.recipes import Recipe
from stages.records import Context, Example, Question, Training

NAME = "arc"
GRADER = "arc-grid"
ATTEMPTS = 2  # ARC's own rule; `stages.grading.grids` looks at as many

Cells = Sequence[Sequence[int]]  # a grid, checked, as lists or tuples

PROMPTS = Path(__file__).parent / "prompts"
# The system message before the request for a self-edit.
BRIEF = "Write what is asked for and nothing else: no words before it, none after it."


def read(row: Mapping[str, Any], *, ordinal: int, split: str) -> tuple[Context, list[Question]]:
    """A dict with `title`, `train` and `test`: lists of {input, output}.

    A test may lack its output: it is then a question without an answer. Raises InputError where a
    grid is none, or there is no demonstration.
    """
    title, pairs, tests = row.get("title"), row.get("train"), row.get("test")
    if not isinstance(title, str) or not isinstance(pairs, list) or not isinstance(tests, list):
        raise InputError(
            f"task {ordinal} has no title, 'train' and 'test'.", "Give ARC's own JSON."
        )
    sides, place = ("input", "output"), f"task {title}"
    shown = [{side: _grid(pair, side, place) for side in sides} for pair in pairs]
    context = context_of(title, shown, ordinal, split)
    if not pairs:
        raise InputError(f"task {title} has no demonstrations.", "Leave it out.")
    return context, [_question(test, context, i) for i, test in enumerate(tests)]


def context_of(
    title: str, pairs: Sequence[Mapping[str, Cells]], ordinal: int, split: str
) -> Context:
    """A task's demonstrations; known by its name and them."""
    text = canonical(pairs)
    return Context(digest(NAME, title, text), ordinal, NAME, split, title, text)


def question_of(context: Context, ordinal: int, test: Cells, golds: Sequence[Cells]) -> Question:
    """A test input and the output grids that are right."""
    text = grids.to_json(test)
    answers = tuple(map(grids.to_json, golds))
    question_id = digest(context.context_id, ordinal, text)
    return Question(question_id, context.context_id, ordinal, text, answers)


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


class Arc:
    """The domain, with tasks written down and multiplied as its settings say."""

    NAME = NAME
    SEMANTICS = 2
    GRADER = GRADER
    REGIME: Literal["single", "fewshot"] = "fewshot"
    VIEWS = 8  # the symmetries of the square
    PASSAGES = False
    PRESETS = ("tools", "tools-brief")
    SLOTS = ("demonstrations",)

    def __init__(self, settings: ArcConfig = ArcConfig()) -> None:  # noqa: B008  # it is frozen
        self.settings = settings
        self.form = FORMS[settings.grids]
        self.STOP = self.form.stop

    read = staticmethod(read)

    def recipe(self, prompt: str) -> Recipe:
        """A preset (`default` is the first), or a file with {demonstrations} in it."""
        return recipes.load(
            prompt, folder=PROMPTS, presets=self.PRESETS, slots=self.SLOTS, about="task"
        )

    def prompt(
        self, context: Context, template: str, values: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """The template with the demonstrations in it; braces elsewhere are left alone."""
        shown = ROWS.shown(demonstrations(context.text))  # as the released code does, whose lists
        return recipes.fill(template, {"demonstrations": shown, **values})  # are for the student

    def prompt_system(self) -> str:
        """The system message before it, if there is to be one."""
        return BRIEF if self.settings.system_message else ""

    def document(self, context: Context, completion: str) -> Example:
        """Never: a tool call is followed, not read. Raises InvalidSelfEdit."""
        raise InvalidSelfEdit("a tool call is no text to train on")

    def training(self, completion: str) -> Training:
        """The learning rate and epochs that a self-edit asks for. Raises InvalidSelfEdit."""
        from stages.domains.arc.tool_call import parse

        wanted = parse(completion).training
        return Training(wanted.num_train_epochs, wanted.learning_rate)

    def lessons(
        self,
        context: Context,
        completion: str,
        prompt_name: str,
        *,
        limit: int,
        split: str | None = None,
    ) -> list[Example]:
        """The first `limit` tasks of the training set of a self-edit, asked as tests are."""
        from itertools import islice

        from stages.domains.arc.tool_call import parse
        from stages.domains.arc.training_set import training_set

        call = parse(completion)
        every = call.training.strategy == "train_using_all_tokens"
        tasks = training_set(
            demonstrations(context.text),
            call.data_generation,
            seed=context.context_id,
            settings=self.settings,
        )
        return [
            replace(self._example(task.shown, task.query), learns_prompt=every)
            for task in islice(tasks, limit)
        ]

    def passage_lessons(self, context: Context) -> list[Example]:
        """None: there is nothing to train on without a self-edit that says how."""
        return []

    def rehearsal(self, context: Context) -> list[Example]:
        """Each demonstration asked with the others in view, as tests are: learning in context."""
        pairs = demonstrations(context.text)
        return [
            self._example([*pairs[:i], *pairs[i + 1 :]], pair)
            for i, pair in enumerate(pairs)
            if len(pairs) > 1
        ]

    def grammar(self) -> str | None:
        """The tool call, spelled in one way, its numbers within the default bounds."""
        return (PROMPTS / "tool_call.ebnf").read_text(encoding="utf-8")

    def ask(self, context: Context, question: Question, view: int = 0) -> str:
        """The demonstrations, if no system message has them, and the test input, turned one way."""
        test = grids.from_json(question.question)
        assert test is not None  # only checked grids become questions
        return self._asked(self._seen(context, view), _turn(view)(test))

    def ask_system(self, context: Context, view: int = 0) -> str:
        """The system message before a question, if there is to be one."""
        return self._system(self._seen(context, view))

    def answer(self, completion: str, view: int = 0) -> str:
        """The grid that was written, turned back, as JSON; what is none stays as it is: wrong."""
        found = self.form.read(completion)
        if found is None:
            return completion.strip()
        return grids.to_json(_turn(view, back=True)(found))

    def vote(self, answers: Sequence[str]) -> str:
        """The two grids that came most often, a line each; of equals the first."""
        votes = Counter(text for text in answers if grids.from_json(text) is not None)
        return "\n".join(text for text, _ in votes.most_common(ATTEMPTS)) or answers[0]

    def drawn(self, text: str) -> grids.Grid | None:
        """A grid."""
        return grids.from_json(text)

    def _seen(self, context: Context, view: int) -> list[Pair]:
        turned = _turn(view)
        return [Pair(turned(p.input), turned(p.output)) for p in demonstrations(context.text)]

    def _asked(self, shown: Sequence[Pair], query: grids.Grid) -> str:
        in_system = self.settings.system_message
        return self.form.query(query) if in_system else self.form.asked(shown, query)

    def _system(self, shown: Sequence[Pair]) -> str:
        return self.form.briefed(shown) if self.settings.system_message else ""

    def _example(self, shown: Sequence[Pair], query: Pair) -> Example:
        return Example(
            self._asked(shown, query.input),
            self.form.output(query.output),
            system=self._system(shown),
        )


def _turn(view: int, *, back: bool = False) -> Callable[[grids.Grid], grids.Grid]:
    """One of the symmetries of the square, or its inverse, on grids."""
    if view == 0:  # the first changes nothing: numpy is not needed
        return lambda grid: grid
    from stages.domains.arc import transforms

    chosen = transforms.SYMMETRIES[view]
    turn = chosen.inverse if back else chosen.apply
    return lambda grid: transforms.grid(turn(transforms.array(grid)))
