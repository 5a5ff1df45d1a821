"""The probe of a scoring run: contexts that every adapted student is asked about besides.

Finds and checks them, and has the unadapted student examined once; what is asked and what follows
for a reward is `stages.score`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from seal_cli import console
from seal_cli.inputs import ContextSet
from seal_cli.runner import Task
from seal_cli.splits import is_evaluation
from seal_cli.store.artifact import Artifact
from stages.errors import ConfigError
from stages.exam import PROBE, Examiner, collected
from stages.records import Answer, Record, Reward, SelfEdit, Verdict
from stages.score import Probe, probe_unadapted


class Probing:
    """A probe in use by one run. `probe` is there once the unadapted student was examined."""

    def __init__(self, artifact: Artifact, limit: int) -> None:
        self.artifact = artifact
        self.limit = limit
        self.probe: Probe | None = None

    def beside(self, task: Task, self_edits: Artifact, scored: ContextSet) -> Task:
        """The scoring run with this probe beside it: an input of its own, and in the key."""

        def check() -> None:
            self.check(scored, {edit.context_id for edit in self_edits.rows(SelfEdit)})

        return replace(
            task,
            material=task.material | {"probe": {"contexts": self.artifact.id, "limit": self.limit}},
            check=check,
            aside=[self.artifact],
            owners=lambda rows: owner(rows, self_edits.rows(SelfEdit)),
        )

    @cached_property
    def asked(self) -> ContextSet:
        """All contexts of the artifact."""
        return ContextSet(self.artifact)

    @cached_property
    def chosen(self) -> list[str]:
        """Those asked about: the first that have questions."""
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
                f"the probe {self.artifact.id} is about {self.asked.domain.NAME}, what is scored "
                f"about {scored.domain.NAME}.",
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
        if self.probe is None:
            rows, self.probe = collected(
                probe_unadapted(
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
