"""Answers of servers, kept the moment they arrive, so that none is paid for twice.

One file of JSON lines per model under `requests/`, appended to by every process that asks it. A
line holds an answer under the digest of all that was sent: no prompt, no address, no key. A line
that a killed process left unfinished, or that is damaged, is passed over: what it was the answer to
is asked again, and its answer is a line of its own. `blank` takes such lines out. Deletable: then
everything is asked again.
"""

import errno
import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from seal_cli.store.files import (
    Damaged,
    make_folder,
    open_regular,
    open_to_append,
    sealed,
    unsealed,
)
from stages.engines import Completion

LOG = logging.getLogger(__name__)
_BEGINS = re.compile(rb'\{"key": "(\w+)", "completion": ')  # read whole when it is asked for
_TOGETHER = 16  # answers that one fsync may wait for
_SECONDS = 1.0  # and how long they may


class Ledger:
    """The answers of one model: a mapping from digest to completion, safe among processes."""

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self._name = path.name
        self._file = open_to_append(path)
        self._places: dict[str, tuple[int, int]] = {}  # digest -> where its line is
        self._read = 0  # bytes of the file that `_places` knows
        self._unsynced, self._synced_at = 0, time.monotonic()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def get(self, key: str, /) -> Completion | None:
        """The answer to what has this digest, whoever wrote it down."""
        if key not in self._places:
            self._catch_up()
        place = self._places.get(key)
        if place is None:
            return None
        start, length = place
        try:
            entry = unsealed(os.pread(self._file, length, start))
            if entry["key"] == key:
                return Completion(**entry["completion"])
        except (Damaged, KeyError, TypeError):
            pass
        LOG.warning("an answer in %s is damaged: it is asked for again.", self._name)
        del self._places[key]
        return None

    def __setitem__(self, key: str, completion: Completion, /) -> None:
        """Keep an answer: in the file when this returns, on the disk a moment later."""
        entry = sealed({"key": key, "completion": asdict(completion)})
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            line = self._mend() + entry.encode() + b"\n"
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, "an answer could not be written whole")
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._unsynced += 1
        now = time.monotonic()
        if self._unsynced >= _TOGETHER or now - self._synced_at >= _SECONDS:
            os.fsync(self._file)
            self._unsynced, self._synced_at = 0, now

    def _mend(self) -> bytes:
        """What ends an unfinished last line, so that it spoils nothing but itself."""
        size = os.fstat(self._file).st_size
        return b"\n" if size and os.pread(self._file, 1, size - 1) != b"\n" else b""

    def _catch_up(self) -> None:
        """Take note of the lines that came since, of this process and of others."""
        size = os.fstat(self._file).st_size
        if size <= self._read:
            return
        with os.fdopen(os.dup(self._file), "rb") as stream:
            stream.seek(self._read)
            for line in stream:
                if not line.endswith(b"\n"):  # being written, or left by a process that was killed
                    break
                key = _key(line)
                if key is not None:
                    self._places[key] = (self._read, len(line))
                self._read += len(line)


def damaged(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where in a ledger the lines are that hold no answer, and how long each is."""
    start = 0
    for line in stream:
        content = line.removesuffix(b"\n")
        try:
            unsealed(line)
        except Damaged:
            if content.strip():
                yield start, len(content)
        start += len(line)


def blank(path: Path) -> None:
    """Put spaces in the place of damaged lines: no other moves, whoever has the file open.

    Raises Damaged for what is no file.
    """
    opened, _ = open_regular(path, os.O_RDWR)
    with os.fdopen(opened, "r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        for start, length in list(damaged(stream)):
            os.pwrite(opened, b" " * length, start)
        os.fsync(opened)


def _key(line: bytes) -> str | None:
    """The key that a whole line begins with; None for what has none."""
    found = _BEGINS.match(line)
    return found[1].decode() if found else None
