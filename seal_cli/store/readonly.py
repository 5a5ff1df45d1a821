"""The files that a query may read: published Parquet that manifests name, and nothing else.

A file system for DuckDB under a protocol of its own, which cannot write. What is not in its list
does not exist for it: no other file of the store, no folder, no pattern, no `..`, no link.
"""

import os
import re
import stat
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

from seal_cli.store.artifact import Artifact

PROTOCOL = "sealro"
PREFIX = f"{PROTOCOL}://"
_UNCHANGED = datetime(2000, 1, 1, tzinfo=UTC)  # an artifact is immutable


class PublishedFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Reads the Parquet files of some artifacts. DuckDB asks several times per file: be quick."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self, root: Path, artifacts: Iterable[Artifact]) -> None:
        super().__init__()
        self._root = root.resolve()
        self._sizes = {
            f"{artifact.path}/{name}": entry["bytes"]
            for artifact in artifacts
            for name, entry in artifact.manifest["files"].items()
            if name.endswith(".parquet")
        }
        self._is_inside = cache(self._folder_is_inside)

    def _folder_is_inside(self, folder: str) -> bool:
        return Path(folder).resolve().is_relative_to(self._root)

    def _known(self, path: str) -> str:
        """A path without its protocol. Raises FileNotFoundError for anything not published."""
        name = path.removeprefix(PREFIX)
        if name not in self._sizes:
            raise FileNotFoundError(f"{name} is no published Parquet file of this store")
        return name

    def open(self, path: str, mode: str = "rb", **_: Any) -> "_File":
        """A published file, for reading. Raises PermissionError for any other mode, or a link."""
        if mode != "rb":
            raise PermissionError("the store is read-only")
        name = self._known(path)
        if not self._is_inside(name.rpartition("/")[0]):
            raise PermissionError(f"{name} leads outside the store")
        try:
            file = _File(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            raise OSError(f"{name} cannot be read: {error.strerror}") from None
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size != self._sizes[name]:
            raise OSError(f"{name} is damaged: expected {self._sizes[name]} bytes")
        return file

    def size(self, path: str) -> int:
        """What the manifest says; `open` compares it with the file."""
        return int(self._sizes[self._known(path)])

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What DuckDB wants to know of a file."""
        return {"name": path, "size": self.size(path), "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        """Whether it is in the list."""
        return path.removeprefix(PREFIX) in self._sizes

    def glob(self, path: str, **_: Any) -> list[str]:
        """The file itself: patterns match nothing."""
        return [path] if self.exists(path) else []

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Never: there are no folders."""
        raise PermissionError(f"{path} cannot be listed: the store shows its published files only")

    def modified(self, path: str) -> datetime:
        """Always the same: DuckDB need not read a footer again."""
        self._known(path)
        return _UNCHANGED


def last_words(error: Exception) -> str:
    """What DuckDB says; of an error raised here, quoted with its traceback, the last line."""
    text = str(error).strip()
    if "Traceback (most recent call last)" not in text:
        return text
    found: list[str] = re.findall(r"^\w+Error: .*", text, re.MULTILINE)
    return found[-1] if found else text.splitlines()[-1]


class _File:
    """An open file for DuckDB, whose threads share it: each has a position of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._here = threading.local()

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def tell(self) -> int:
        """This thread's position."""
        return int(getattr(self._here, "position", 0))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move this thread's position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size()}[whence]
        self._here.position = start + offset
        return start + offset

    def read(self, length: int = -1) -> bytes:
        """The bytes at this thread's position, which moves behind them."""
        here = self.tell()
        data = os.pread(self._descriptor, length if length >= 0 else self._size() - here, here)
        self._here.position = here + len(data)
        return data

    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Close it, once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:  # DuckDB drops without closing
        self.close()
