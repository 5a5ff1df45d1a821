"""How a task is written down for a model: grids, pairs, demonstrations, and what is asked.

`rows` is the tool's own form. `lists` is that of the released code: a grid as nested lists, as
numpy prints an array, an arrow between input and output, a `#` at the end of an output.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.domains.arc.grids import Grid, from_lists, from_text, to_lists, to_text
from stages.domains.arc.tasks import Pair


@dataclass(frozen=True)
class Form:
    """One way to write. A pair is `before` input `between` output `after`, then `apart`."""

    introduction: str
    before: str
    between: str
    after: str
    apart: str
    stop: str  # an answer ends before this
    write: Callable[[Grid], str]
    read: Callable[[str], Grid | None]

    def shown(self, pairs: Sequence[Pair]) -> str:
        """Demonstrations, one after the other."""
        return self.apart.join(self.query(p.input) + self.output(p.output) for p in pairs)

    def query(self, grid: Grid) -> str:
        """A grid that waits for its output."""
        return f"{self.before}{self.write(grid)}{self.between}"

    def output(self, grid: Grid) -> str:
        """What is to be written after a query."""
        return f"{self.write(grid)}{self.after}"

    def briefed(self, pairs: Sequence[Pair]) -> str:
        """What comes before a query: the instruction and the demonstrations."""
        return f"{self.introduction}\n\n{self.shown(pairs)}"

    def asked(self, pairs: Sequence[Pair], query: Grid) -> str:
        """What a model is asked: the demonstrations, then a grid that waits for its output."""
        return f"{self.briefed(pairs)}{self.apart}{self.query(query)}"


ROWS = Form(
    introduction="Find the rule that turns each input grid into its output grid.",
    before="Input:\n",
    between="\nOutput:\n",
    after="",
    apart="\n\n",
    stop="\n\n",  # a grid has no blank line
    write=to_text,
    read=from_text,
)
LISTS = Form(
    introduction=(
        "Find the rule that turns each input grid into its output grid. A grid is a list of its "
        "rows; an arrow leads from each input to its output, which ends with #."
    ),
    before="",
    between=" -> ",
    after="#",
    apart="\n",
    stop="#",
    write=to_lists,
    read=from_lists,
)
FORMS = {"rows": ROWS, "lists": LISTS}
