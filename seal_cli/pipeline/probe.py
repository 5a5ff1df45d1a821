"""The probe of a scoring run: contexts that every adapted student is asked about besides.

What is asked and what follows for a reward is `stages.score`; here it is found and checked, and the
unadapted student is examined once.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from seal_cli import console
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.splits import is_evaluation
from seal_cli.store.workspace import Workspace
from stages import probe as probing
from stages import score as stage
from stages.errors import ConfigError
from stages.exam import PROBE, Examiner, collected
from stages.records import Answer, Record, Reward, SelfEdit, Verdict


@dataclass(frozen=True)
class Probe:
    """A probe as a spec holds it: a contexts artifact, and how many of its contexts are asked."""

    SEMANTICS = probing.SEMANTICS

    contexts: str
    limit: int


class Probing:
    """A probe in use by one run. `known` is there once the unadapted student was examined."""

    def __init__(self, store: Workspace, probe: Probe) -> None:
        self.asked = ContextSet(store.artifact(probe.contexts))
        self.limit = probe.limit
        self.known: stage.Probe | None = None

    @cached_property
    def chosen(self) -> list[str]:
        """The contexts that are asked about: the first that have questions."""
        found = [i for i in self.asked.contexts if self.asked.questions[i]]
        return found[: self.limit or len(found)]

    def check(self, scored: ContextSet, context_ids: Collection[str]) -> None:
        """Whether it can tell what is forgotten by learning about these contexts.

        Raises:
            ConfigError: it is about the same contexts, or of another domain.
            InputError: it has no questions.

        """
        if self.asked.domain.NAME != scored.domain.NAME:
            raise ConfigError(
                f"the probe {self.asked.artifact.id} is about {self.asked.domain.NAME}, what is "
                f"scored about {scored.domain.NAME}.",
                "Give a probe of the same domain.",
            )
        self.asked.require_questions()
        refuse_shared(self.asked, context_ids)
        splits = {self.asked.contexts[i].split for i in self.chosen}
        for split in sorted(filter(is_evaluation, splits)):
            console.say(
                f"the probe is of split {split}: once `filter --max-forget` has selected by it, "
                "do not measure on it."
            )

    def unadapted(self, examiner: Examiner, *, first: bool) -> Iterator[Record]:
        """Examine the unadapted student, once; its rows belong to the first batch."""
        if self.known is None:
            rows, self.known = collected(
                stage.probe_unadapted(
                    [self.asked.contexts[i] for i in self.chosen],
                    questions=self.asked.questions,
                    examiner=examiner,
                )
            )
            if first:
                yield from rows


def refuse_shared(probe: ContextSet, learned: Collection[str]) -> None:
    """Raise ConfigError for a probe that has some of the contexts that are learned about."""
    shared = len(probe.contexts.keys() & set(learned))
    if shared:
        raise ConfigError(
            f"{shared} of the contexts that are learned about are in the probe "
            f"{probe.artifact.id}.",
            "Forgetting shows on other contexts: give a probe without them.",
        )


def owner(
    rows: Sequence[Record], edits: Sequence[SelfEdit] | Sequence[Reward]
) -> Callable[[Record], str]:
    """Row -> the context it was made for: for a probe's answer its self-edit's, not its own.

    What the unadapted student said on the probe belongs to the first context of all.
    """
    of_edit = {edit.self_edit_id: edit.context_id for edit in edits}
    first = edits[0].context_id if edits else ""
    probed = {
        row.answer_id: of_edit.get(str(row.self_edit_id), first)
        for row in rows
        if isinstance(row, Answer) and row.method == PROBE
    }

    def item(row: Record) -> str:
        if isinstance(row, Answer | Verdict) and row.answer_id in probed:
            return probed[row.answer_id]
        return str(getattr(row, "context_id", ""))

    return item
