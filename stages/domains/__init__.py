"""What is learned. A domain is a module, or an object, with the functions below.

A domain says how a plain dict becomes a context, how to ask the policy for a self-edit, which
training sequences a self-edit becomes, and how questions are asked and answers read. It runs no
model and grades nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from stages.domains import knowledge
from stages.domains.arc import Arc
from stages.domains.arc.settings import ArcConfig
from stages.fields import Config
from stages.recipes import Recipe
from stages.records import Context, Example, Question, Training

Cells = Sequence[Sequence[int]]  # rows of colours, 0 to 9


class Domain(Protocol):
    """The functions every domain has."""

    NAME: str
    SEMANTICS: int  # raised by hand when the same input would give different rows
    STOP: str  # an answer ends before this
    GRADER: str  # who judges when nothing else is asked for
    REGIME: Literal["single", "fewshot"]  # how a policy is measured
    VIEWS: int  # in how many ways the same question can be asked
    PASSAGES: bool  # contexts are texts: questions can be written about them, and notes be judged

    @property
    def settings(self) -> Config | None:
        """Of its own."""

    def grammar(self) -> str | None:
        """EBNF of a self-edit that can be read; None where every text can."""

    def read(
        self, row: Mapping[str, Any], *, ordinal: int, split: str
    ) -> tuple[Context, list[Question]]:
        """A plain dict as a context and its questions. Raises InputError for a wrong shape."""

    def recipe(self, prompt: str) -> Recipe:
        """A preset (`default`: the first) or a file as the steps to ask. Raises ConfigError."""

    def prompt(self, context: Context, template: str, values: Mapping[str, str] = ...) -> str:
        """What the policy is asked, before any chat template; `values` are a recipe's own."""

    def prompt_system(self) -> str:
        """The system message before a prompt; empty for none."""

    def lessons(
        self,
        context: Context,
        completion: str,
        prompt_name: str,
        *,
        limit: int,
        split: str | None = None,
    ) -> list[Example]:
        """The training sequences of a self-edit. Raises InvalidSelfEdit.

        `split` is where one text ends (`stages.recipes`); without it the prompt's name says so.
        """

    def document(self, context: Context, completion: str) -> Example:
        """A whole self-edit as one training sequence. Raises InvalidSelfEdit."""

    def training(self, completion: str) -> Training:
        """How a self-edit wants to be trained on. Raises InvalidSelfEdit."""

    def passage_lessons(self, context: Context) -> list[Example]:
        """The training sequences without any self-edit: the passage alone."""

    def rehearsal(self, context: Context) -> list[Example]:
        """What a policy may learn of a context so as not to forget it: no self-edit, no answer."""

    def ask(self, context: Context, question: Question, view: int = 0) -> str:
        """What the student is asked, before any chat template, in one of `VIEWS` ways.

        A passage is not in view, the demonstrations of a task are.
        """

    def ask_system(self, context: Context, view: int = 0) -> str:
        """The system message before what the student is asked; empty for none."""

    def answer(self, completion: str, view: int = 0) -> str:
        """The answer inside what the student said when asked in this way."""

    def vote(self, answers: Sequence[str]) -> str:
        """What the answers of all views agree on, or nearest to it."""

    def drawn(self, text: str) -> Cells | None:
        """What a text of the tables is when it is drawn; None where it is to be read."""


DOMAINS: dict[str, Domain] = {"knowledge": knowledge, "arc": Arc()}
# Those with settings of their own, and what makes a domain of them.
SETTINGS: dict[str, tuple[type[Config], Callable[[Any], Domain]]] = {"arc": (ArcConfig, Arc)}


def drawn(text: str) -> Cells | None:
    """What a text of any domain is when it is drawn; None where it is to be read."""
    return next(filter(None, (domain.drawn(text) for domain in DOMAINS.values())), None)


@dataclass(frozen=True)
class ChosenDomain:
    """A domain as a run holds it, with settings of its own: modules do not pickle, names do."""

    name: str
    settings: Config | None = None

    @property
    def domain(self) -> Domain:
        """The module, or the object that its settings make."""
        return SETTINGS[self.name][1](self.settings) if self.settings else DOMAINS[self.name]

    def key(self) -> dict[str, Any]:
        """What it adds to a key."""
        settings = self.settings.key() if self.settings else {}
        return {"name": self.name, "semantics": self.domain.SEMANTICS, **settings}
