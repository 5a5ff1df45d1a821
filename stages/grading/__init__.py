"""What judges answers: the table of graders, and a grader as a run holds it.

The default is fitted to the GPT-4.1 verdicts of the SEAL release (`offline-2`; `offline-1` is what
it was before); the SQuAD string metrics stand beside it; these read English and nothing else.
Grids are compared exactly. A model can judge, too (`judge`).
"""

from dataclasses import dataclass
from typing import Any

from stages.engines.settings import ServerConfig
from stages.errors import ConfigError
from stages.grading import bias, grids, judge, offline, offline_1, squad
from stages.grading.grader import Grader as Grader
from stages.grading.grader import GraderSpec, ScoreGrader, Server
from stages.grading.grader import Item as Item
from stages.grading.grader import Judgement as Judgement
from stages.tables import Chosen

SCORES = {
    spec.name: spec
    for spec in (
        ScoreGrader(
            name="offline-2", semantics=offline.SEMANTICS, score=offline.offline_score,
            threshold=offline.ACCEPTED, bias=bias.OFFLINE_2,
        ),
        ScoreGrader(
            name="offline-1", semantics=offline_1.SEMANTICS, score=offline_1.offline_score,
            bias=bias.OFFLINE_1,
        ),
        ScoreGrader(name="exact", semantics=squad.SEMANTICS, score=squad.exact_match),
        ScoreGrader(name="contained", semantics=squad.SEMANTICS, score=squad.contained),
        ScoreGrader(name="f1", semantics=squad.SEMANTICS, score=squad.token_f1, threshold=0.5),
        ScoreGrader(
            name="arc-grid", semantics=grids.SEMANTICS, score=grids.grid_match, exact=True
        ),
    )
}  # fmt: skip
GRADERS: dict[str, GraderSpec] = {**SCORES, judge.SPEC.name: judge.SPEC}
NEWEST = {"offline": "offline-2"}  # a name for the newest version; keys and rows have the version
LOCAL = (*NEWEST, *SCORES)  # what can be chosen where no server is asked
NAMES = ", ".join(
    [*NEWEST, *(f"{spec.name}:MODEL" if spec.asks else spec.name for spec in GRADERS.values())]
)


@dataclass(frozen=True)
class ChosenGrader(Chosen):
    """A grader as a run holds it: by its name, of one that asks a server with the model's."""

    @property
    def entry(self) -> GraderSpec:
        """Its line in the table."""
        return spec_of(self.name)

    @property
    def model(self) -> str:
        """The model that judges, as its server calls it."""
        return self.name.partition(":")[2].strip()

    @property
    def location(self) -> dict[str, dict[str, str]]:
        """Where a model is asked: provenance, not identity."""
        if not isinstance(self.settings, ServerConfig):
            return {}
        return {self.name: {"name": self.model, "server": self.settings.base_url}}

    def key(self) -> dict[str, Any]:
        """What decides the verdicts."""
        return super().key() | self.entry.material()

    def build(self, server: Server) -> Grader:
        """The grader; `server` gives the engine that asks a model."""
        return self.entry.build(self.name, self.settings, server)


def spec_of(name: str) -> GraderSpec:
    """The line of a grader that was chosen by this name."""
    return GRADERS[name.partition(":")[0]]


def resolved(name: str) -> str:
    """What keys and rows call a grader. Raises ConfigError for one that does not exist."""
    name = NEWEST.get(name, name)
    entry, colon, model = name.partition(":")
    spec = GRADERS.get(entry)
    if spec is not None and spec.asks == bool(colon and model.strip()) == bool(colon):
        return name
    raise ConfigError(f"grader is {name!r}: there is no such grader.", f"Choose one of: {NAMES}.")
