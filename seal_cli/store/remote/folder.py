"""file:// – a folder that several machines see. A file appears whole, by a rename or a link."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seal_cli.store.artifact import Artifact
from seal_cli.store.files import Damaged, fsync, open_regular, read_json
from seal_cli.store.remote.transport import Address, Moved, denied, no_place
from stages.errors import ConfigError, InputError

_CHUNK = 1 << 20


class Folder:
    """A folder; links in it are refused."""

    threads = 2

    def __init__(self, address: Address) -> None:
        if address.host:
            raise ConfigError(f"{address} names a host.", "Write file:///an/absolute/path.")
        self.root = Path(address.path)
        try:
            self.root.mkdir(exist_ok=True)
        except FileExistsError as error:
            raise ConfigError(f"{self.root} is no folder.", "Name another.") from error
        except FileNotFoundError as error:
            raise no_place(self.root.parent) from error
        except PermissionError as error:
            raise denied(self.root) from error

    def read(self, name: str) -> bytes | None:
        """A small file; null where there is none."""
        path = self._at(name)
        with _said(path):
            return read_json(path) if os.path.lexists(path) else None

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below a folder."""
        root = self._at(folder)
        found = (path for path in root.rglob("*") if not path.is_symlink() and path.is_file())
        return {path.relative_to(root).as_posix(): path.stat().st_size for path in found}

    def names(self, folder: str) -> list[str]:
        """The folders in a folder."""
        root = self._at(folder)
        return sorted(path.name for path in root.iterdir()) if root.is_dir() else []

    def get(self, name: str, target: Path, moved: Moved) -> None:
        """Copy a file here."""
        path = self._at(name)
        with _said(path):
            opened, _ = open_regular(path)
            with os.fdopen(opened, "rb") as source, target.open("wb") as copy:
                while chunk := source.read(_CHUNK):
                    copy.write(chunk)
                    moved(len(chunk))

    def put(self, source: Path, name: str, moved: Moved) -> None:
        """Copy a file there."""
        with self._beside(name) as (path, temporary), source.open("rb") as stream:
            with temporary.open("xb") as copy:
                while chunk := stream.read(_CHUNK):
                    copy.write(chunk)
                    moved(len(chunk))
            fsync(temporary)
            os.replace(temporary, path)

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file unless it is there; of several that do, one does."""
        with self._beside(name) as (path, temporary):
            temporary.write_bytes(content)
            fsync(temporary)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            fsync(path.parent)
        return True

    def replace(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self._beside(name) as (path, temporary):
            temporary.write_bytes(content)
            fsync(temporary)
            os.replace(temporary, path)

    def done(self, sent: Sequence[Artifact]) -> Sequence[str]:
        """Nothing is left to do."""
        return ()

    def _at(self, name: str) -> Path:
        path = self.root / name
        for folder in [path, *path.parents]:
            if folder == self.root:
                break
            if folder.is_symlink():
                raise InputError(f"{folder} is a link.", "Put a plain file or folder there.")
        return path

    @contextmanager
    def _beside(self, name: str) -> Iterator[tuple[Path, Path]]:
        """A place, and a temporary file in its folder."""
        path = self._at(name)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            yield path, temporary
        except PermissionError as error:
            raise denied(path) from error
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except Damaged as error:
        raise InputError(f"{path} cannot be read: {error}.", "Look at what lies there.") from error
