"""The files that a query may read: published Parquet that was proven, and nothing else.

A file system for DuckDB under a protocol of its own, which cannot write. What is not in its list
does not exist for it: no other file of the store, no folder, no pattern, no `..`, no link.
"""

import os
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

from seal_cli.store.files import Damaged, Stamp, open_regular

PROTOCOL = "sealro"
PREFIX = f"{PROTOCOL}://"
_UNCHANGED = datetime(2000, 1, 1, tzinfo=UTC)  # an artifact is immutable


class PublishedFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Reads files as they were when they were proven. DuckDB asks several times each: be quick."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._proven: dict[str, Stamp] = {}

    def admit(self, path: Path, proven: Stamp) -> str:
        """Let a file be read as long as it stays what it is; its name for a query."""
        self._proven[str(path)] = proven
        return f"{PREFIX}{path}"

    def _known(self, path: str) -> str:
        """A path without its protocol. Raises FileNotFoundError for anything not admitted."""
        name = path.removeprefix(PREFIX)
        if name not in self._proven:
            raise FileNotFoundError(f"{name} is no published Parquet file that the query is about")
        return name

    def open(self, path: str, mode: str = "rb", **_: Any) -> "_File":
        """An admitted file, for reading. Raises PermissionError for any other mode."""
        if mode != "rb":
            raise PermissionError("the store is read-only")
        name = self._known(path)
        try:
            opened, found = open_regular(name)
        except Damaged as error:
            raise OSError(f"{name} cannot be read: {error}") from None
        file = _File(opened)
        if found != self._proven[name]:
            raise OSError(f"{name} changed after it was proven")
        return file

    def size(self, path: str) -> int:
        """What it was when it was proven; `open` compares it with the file."""
        return self._proven[self._known(path)].size

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What DuckDB wants to know of a file."""
        return {"name": path, "size": self.size(path), "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        """Whether it is in the list."""
        return path.removeprefix(PREFIX) in self._proven

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
