"""Everything at an address read again and compared with what was written."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from seal_cli.store.manifest import is_input
from seal_cli.store.remote.closure import closure
from seal_cli.store.remote.place import Place, There
from seal_cli.store.remote.threads import in_threads
from seal_cli.store.remote.transport import Moved
from seal_cli.store.verify import Finding
from stages.errors import InputError


@dataclass
class Inspection:
    """Verifies and counts what it read; what `moved` raises ends it."""

    place: Place
    moved: Moved = lambda _: None
    artifacts: int = 0
    files: int = 0
    bytes: int = 0

    def closure(self, ids: Sequence[str]) -> Iterator[Finding]:
        """These artifacts and everything they were made from, as far as it is there."""

        def inputs(one: str) -> list[str]:
            with suppress(InputError):  # said when it is verified itself
                found = self.place.find(one)
                return [i for i in found.inputs if self._has(i)] if found else []
            return []

        for one in closure(inputs, ids):
            yield from self.artifact(one)

    def everything(self) -> Iterator[Finding]:
        """All that has a pointer."""
        for one in self.place.ids():
            if self._has(one):
                yield from self.artifact(one)

    def artifact(self, artifact_id: str) -> Iterator[Finding]:
        """One artifact alone; its inputs are looked at for their digests."""
        self.artifacts += 1
        heal = f"`seal push --repair {artifact_id} {self.place.url}` from a store that has it."
        try:
            there = self.place.artifact(artifact_id)
            sizes = there.sizes()
            absent = there.absent(sizes)
        except InputError as error:
            yield Finding(artifact_id, None, error.message.removesuffix("."), heal)
            return

        def wrong(name: str) -> str | None:
            return there.wrong(name, self.moved) if name in sizes else "it is not there"

        names = [name for name in there.files if name not in absent]
        found = in_threads(self.place.transport.threads, wrong, names)
        self.files += len(names)
        self.bytes += sum(sizes.get(name, 0) for name in names)
        for name, why in zip(names, found, strict=True):
            if why is not None:
                yield Finding(artifact_id, name, why, heal)
        yield from self._inputs(there)

    def _inputs(self, there: There) -> Iterator[Finding]:
        """Inputs that are not there, or not those that it was made from."""
        for entry in there.manifest["inputs"]:
            one = entry["artifact_id"]
            with suppress(InputError):  # damaged: said of itself
                other = self.place.find(one)
                if other is None:
                    heal = f"`seal push {one} {self.place.url}` from a store that has it."
                    yield Finding(there.id, None, f"its input {one} is not there", heal)
                elif not is_input(entry, other.manifest, other.digest):
                    reason = f"its input {one} is not the one it was made from"
                    heal = "Another run of the same key was pushed before; its rows may differ."
                    yield Finding(there.id, None, reason, heal)

    def _has(self, artifact_id: str) -> bool:
        return self.place.pointer(artifact_id) is not None
