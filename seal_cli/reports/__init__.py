"""Named questions to the store: one `.sql` file each, with a plot for those that have one.

A report is its query: what `seal report NAME` prints is what `seal sql - < NAME.sql` would. The
first comment line says what it answers, the others how to read it; `Needs:` says what to run when
there is nothing to report yet. What an interval and what a gain is, is the same in all of them and
stands here, once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from stages.errors import ConfigError

FOLDER = Path(__file__).parent
INTERVAL = "Intervals are 95 %, Student's t over contexts."  # or over sequences of edits
GAIN = (
    "A gain is a difference of accuracies, after less before, paired by context; what it is over "
    "is the unadapted student of the same evaluation, or the round that the column names."
)
NAMES = (
    "paper-table2",
    "rounds",
    "tools",
    "grids",
    "prompts",
    "prompt-ablation",
    "transfer",
    "continual",
    "forgetting",
    "reward-noise",
    "quiz",
    "reward-agreement",
    "empty-answers",
    "grader-agreement",
    "examples",
    "cost",
)


@dataclass(frozen=True)
class Report:
    """One named question."""

    name: str
    trust: str = ""  # how far the numbers that were found can be trusted

    @cached_property
    def sql(self) -> str:
        """The query."""
        return (FOLDER / f"{self.name}.sql").read_text(encoding="utf-8")

    @cached_property
    def _comments(self) -> list[str]:
        head = takewhile(lambda line: line.startswith("--"), self.sql.splitlines())
        return [line.removeprefix("--").strip() for line in head]

    @property
    def doc(self) -> str:
        """What it answers, in one line."""
        return self._comments[0]

    @property
    def notes(self) -> str:
        """How to read it."""
        notes = [n for n in self._comments[1:] if n and not n.startswith("Needs:")]
        return " ".join([*notes, self.trust] if self.trust else notes)

    def caption(self, columns: Sequence[str]) -> str:
        """What its intervals and gains are, where it has some."""
        interval = any(name == "low" or name.endswith("_low") for name in columns)
        gain = any(name.startswith("gain") for name in columns)
        return " ".join([INTERVAL] * interval + [GAIN] * gain)

    @property
    def needs(self) -> str:
        """What to run so that there is something to report."""
        found = (note.removeprefix("Needs:").strip() for note in self._comments if "Needs:" in note)
        return next(found, "")


def find(name: str) -> Report:
    """A report by name. Raises ConfigError for one that does not exist."""
    if name not in NAMES:
        raise ConfigError(f"there is no report {name!r}.", f"Reports: {', '.join(NAMES)}.")
    return Report(name)
