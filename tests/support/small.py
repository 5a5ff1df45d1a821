"""A small store with every kind of artifact, and how its files are damaged."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal_cli.store.files import unsealed, write_sealed
from seal_cli.store.workspace import Workspace


@dataclass
class Small:
    """A store, its commands by stage, and the id that each of them printed."""

    root: Path
    commands: dict[str, list[object]]
    ids: dict[str, str]

    @property
    def store(self) -> Workspace:
        return Workspace(self.root)

    def path(self, stage: str) -> Path:
        return self.root / "artifacts" / self.ids[stage]

    def reseal(self, stage: str, **changes: Any) -> None:
        """Another manifest, with the seal that it should have."""
        file = self.path(stage) / "_manifest.json"
        write_sealed(file, unsealed(file.read_bytes()) | changes)


def flip(file: Path, bit: int | None = None) -> None:
    """Another value of one bit, by default in the middle."""
    content = bytearray(file.read_bytes())
    place = len(content) * 4 if bit is None else bit
    content[place // 8] ^= 1 << place % 8
    file.write_bytes(content)
