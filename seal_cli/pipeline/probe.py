"""The probe of a run as its spec holds it: found, checked, and opened for the student."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from seal_cli import console
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.splits import is_evaluation
from seal_cli.store.workspace import Workspace
from stages import probe as stage
from stages.errors import ConfigError
from stages.exam import Examiner
from stages.probe import Probe
from stages.records import Context


@dataclass(frozen=True)
class ChosenProbe:
    """A contexts artifact, and how many of its contexts are asked about; 0 is all."""

    SEMANTICS = stage.SEMANTICS

    contexts: str
    limit: int

    def known(self, store: Workspace) -> ContextSet:
        """All its contexts."""
        return ContextSet(store.artifact(self.contexts))

    def asked(self, store: Workspace) -> list[Context]:
        """The contexts that are asked about: the first that have questions."""
        known = self.known(store)
        found = [context for i, context in known.contexts.items() if known.questions[i]]
        return found[: self.limit or len(found)]

    def open(self, store: Workspace, examiner: Examiner, **more: Any) -> Probe:
        """The probe, the student asked about it: at once, before any change."""
        found = Probe(self.asked(store), self.known(store).questions, examiner, **more)
        found.before  # noqa: B018  # read while the model is as it was
        return found

    def check(self, store: Workspace, learned: ContextSet, context_ids: Collection[str]) -> None:
        """Raise where it cannot tell what is forgotten by learning about these contexts.

        ConfigError: it is about the same ones, or of another domain. InputError: without questions.
        """
        known = self.known(store)
        if known.domain.NAME != learned.domain.NAME:
            raise ConfigError(
                f"the probe {self.contexts} is about {known.domain.NAME}, what is learned about "
                f"{learned.domain.NAME}.",
                "Give a probe of the same domain.",
            )
        known.require_questions()
        shared = len(known.contexts.keys() & set(context_ids))
        if shared:
            raise ConfigError(
                f"{shared} of the contexts that are learned about are in the probe "
                f"{self.contexts}.",
                "Forgetting shows on other contexts: give a probe without them.",
            )

    def warn(self, store: Workspace) -> None:
        """Say that what is selected by a probe cannot be measured on it."""
        for split in sorted(filter(is_evaluation, {c.split for c in self.asked(store)})):
            console.say(
                f"the probe is of split {split}: once `filter --max-forget` has selected by it, "
                "do not measure on it."
            )
