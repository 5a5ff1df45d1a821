"""Which grader a name stands for: one of the table, or `judge:MODEL`, a model of a server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stages.config import JUDGE, JudgeConfig
from stages.engines import ENGINES, Engine
from stages.grading import GRADERS, Grader
from stages.grading import judge as judging
from stages.identity import digest


@dataclass(frozen=True)
class ChosenGrader:
    """A grader as a run holds it; `settings` are a judge's."""

    name: str
    settings: JudgeConfig | None = None

    @property
    def model(self) -> str:
        """The judge's model, as its server calls it."""
        return self.name.removeprefix(JUDGE).strip()

    def key(self) -> dict[str, Any]:
        """What decides the verdicts; of a judge also its prompt."""
        if self.settings is None:
            return {"name": self.name, "semantics": GRADERS[self.name].semantics}
        return {
            "name": self.name,
            "semantics": judging.SEMANTICS,
            "engine": ENGINES["openai"].semantics,
            "prompt": digest(judging.PROMPT),
            **self.settings.key(),
        }

    @property
    def location(self) -> dict[str, dict[str, str]]:
        """Where a judge is asked: provenance, not identity."""
        if self.settings is None:
            return {}
        return {self.name: {"name": self.model, "server": self.settings.base_url}}

    def build(self, server: Callable[[str, JudgeConfig], Engine]) -> Grader:
        """The grader; `server` gives the engine that asks a judge."""
        if self.settings is None:
            return GRADERS[self.name]
        engine = server(self.model, self.settings)
        return judging.Judge(self.name, engine, self.settings.verdict_tokens)


def is_judge(name: str) -> bool:
    """Whether a grader of this name is a model of a server."""
    return name.startswith(JUDGE)
