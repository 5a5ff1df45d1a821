"""What `seal tag` calls artifacts: one sealed JSON file a name.

A name never looks like an id, a part of one, or anything else that is understood in an id's place.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from seal_cli.store.files import Damaged, make_folder, read_sealed, write_sealed
from seal_cli.store.identity import ID
from stages.errors import ConfigError, InputError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Names:
    """The names of one store."""

    def __init__(self, folder: Path, stages: Sequence[str]) -> None:
        self.folder = folder
        ids = "|".join([*stages, "model", "endpoint"])
        self._taken = re.compile(rf"tiny|tiny-grids|({ids})(-[0-9a-f]*(-s\d+of\d+)?)?")

    def get(self, name: str) -> str | None:
        """The id that a name stands for; null where it is no name. Raises InputError."""
        file = self._file(name)
        if not _NAME.fullmatch(name) or not os.path.lexists(file):
            return None
        try:
            found = read_sealed(file)
            if found.get("name") != name or not ID.fullmatch(str(found.get("artifact_id"))):
                raise Damaged("it is another name's, or of no artifact")
        except Damaged as error:
            hint = f"Give it again: `seal tag {name} ID`."
            raise InputError(f"the name {name} is damaged: {error}.", hint) from error
        return str(found["artifact_id"])

    def all(self) -> list[str]:
        """Every name, damaged or not."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def set(self, name: str, artifact_id: str) -> str | None:
        """Let a name stand for an artifact; what it stood for before, where that can be read.

        Raises:
            ConfigError: it cannot be a name.

        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} cannot be a name: it is empty, too long, or has other characters than "
                "letters, digits, _ . and -.",
                "Take one such as best-1 or v2.0.",
            )
        if self._taken.fullmatch(name):
            raise ConfigError(
                f"{name!r} cannot be a name: it reads as a stage, a model or an artifact's id.",
                "Take one such as best-1 or v2.0.",
            )
        before = None
        with suppress(InputError):  # giving a damaged one again heals it
            before = self.get(name)
        make_folder(self.folder)
        write_sealed(self._file(name), {"name": name, "artifact_id": artifact_id})
        return before

    def remove(self, name: str) -> None:
        """Forget a name. Raises InputError where there is none."""
        if not _NAME.fullmatch(name) or not os.path.lexists(self._file(name)):
            raise InputError(f"there is no name {name}.", "`seal tag` lists them.")
        try:
            self._file(name).unlink()
        except IsADirectoryError as error:
            raise InputError(f"{error.filename} is a folder.", "Move it away.") from error

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"
