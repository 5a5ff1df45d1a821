"""What can be chosen by name: the entries of a table, and a choice as a run holds it."""

from dataclasses import dataclass
from typing import Any

from stages.fields import Config


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a table."""

    name: str
    semantics: int = 1  # raised by hand when the same input would give another result
    config: type[Config] | None = None  # of the settings that apply to this entry alone


@dataclass(frozen=True)
class Chosen:
    """An entry of a table by its name, with the settings that apply to it alone."""

    name: str
    settings: Config | None = None

    @property
    def entry(self) -> Entry:
        """What was chosen."""
        raise NotImplementedError

    def key(self) -> dict[str, Any]:
        """What the choice adds to a key."""
        settings = self.settings.key() if self.settings else {}
        return {"name": self.name, "semantics": self.entry.semantics, **settings}
