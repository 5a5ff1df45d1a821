"""Files of a store: regular ones only, digests of their content, and JSON that proves itself.

Every JSON of the store carries `sha256`, the digest of its canonical rest. A file's digest is known
again by its device, inode, size and times (`Digests`): other content put in its place changes the
inode or the ctime.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from stages.errors import InputError
from stages.identity import canonical

LOG = logging.getLogger(__name__)
MANIFEST, REMOVED = "_manifest.json", "_removed.json"  # in an artifact's folder
LARGEST_JSON = 1 << 28  # bytes
_LARGEST_CACHE = 1 << 25  # bytes; begun anew beyond: a quarter of a million files
_RACY_SECONDS = 2.0  # a file this young may change again within its time stamp: not cached
_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)
_CHUNK = 1 << 20  # bytes in memory at once


class Damaged(ValueError):
    """What is on disk is not what was written there; the text says how."""


class Stamp(NamedTuple):
    """What a file is known by without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """Raises Damaged for anything but a regular file: a pipe would block, a link lead away."""
        if not stat.S_ISREG(status.st_mode):
            raise Damaged("it is no regular file")
        times = status.st_mtime_ns, status.st_ctime_ns
        return cls(status.st_dev, status.st_ino, status.st_size, *times)


def stamp(path: Path) -> Stamp:
    """The stamp of a file. Raises Damaged where there is none."""
    try:
        return Stamp.of(path.lstat())
    except OSError as error:
        raise Damaged(error.strerror or str(error)) from error


def open_regular(path: Path | str, flags: int = os.O_RDONLY) -> tuple[int, Stamp]:
    """A descriptor, and what it is of. Raises Damaged; never blocks, and follows no link."""
    try:
        opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Damaged(_why(error)) from error
    try:
        return opened, Stamp.of(os.fstat(opened))
    except Damaged:
        os.close(opened)
        raise


def _why(error: OSError) -> str:
    return "it is a link" if error.errno == errno.ELOOP else error.strerror or str(error)


def open_to_append(path: Path) -> int:
    """A descriptor of a file that is made if need be. Raises InputError for what is no file."""
    try:
        return open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)[0]
    except Damaged as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno not in _NO_FILE:
            raise error.__cause__ from None  # a full disk, no access
        raise InputError(f"{path} is no regular file.", "Move it away.") from error


def fresh_digest(path: Path) -> tuple[Stamp, str]:
    """The sha256 of a file's content, read now in chunks. Raises Damaged."""
    opened, before = open_regular(path)
    try:
        found, buffer = hashlib.sha256(), bytearray(_CHUNK)
        view = memoryview(buffer)
        while size := os.readv(opened, [buffer]):
            found.update(view[:size])
        if Stamp.of(os.fstat(opened)) != before:
            raise Damaged("it changed while it was read")
    except OSError as error:
        raise Damaged(error.strerror or str(error)) from error
    finally:
        os.close(opened)
    return before, found.hexdigest()


class Digests:
    """sha256 of files, each hashed once: a text file of lines that is deletable at any time.

    A line is `<check> <sha256> <stamp>`. Lines are appended without a lock; one that is cut or
    damaged fails its check and is as good as none. Without a path nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lines: dict[bytes, bytes] | None = None

    def of(self, path: Path) -> tuple[Stamp, str]:
        """The stamp and the sha256 of a file. Raises Damaged."""
        found = stamp(path)
        known = self._known(found)
        if known is not None:
            return found, known
        now = time.time()
        found, digest = fresh_digest(path)
        if now - found.ctime_ns / 1e9 > _RACY_SECONDS:
            self._keep(found, digest)
        return found, digest

    def _known(self, of: Stamp) -> str | None:
        if self._lines is None:
            self._lines = self._read()
        line = self._lines.get(_key(of))
        if line is None:
            return None
        check, digest = line.split(b" ")[:2]
        if check != _check(digest + b" " + _key(of)):
            LOG.warning("a line of %s is damaged: its file is hashed again.", self.path)
            return None
        return digest.decode("ascii", "replace")

    def _read(self) -> dict[bytes, bytes]:
        """Lines by their stamps, not looked at any closer; an unreadable cache is an empty one."""
        if self.path is None:
            return {}
        with suppress(Damaged, OSError):
            opened, found = open_regular(self.path)
            with os.fdopen(opened, "rb") as stream:
                if found.size <= _LARGEST_CACHE:
                    lines = (line.split(b" ", 2) for line in stream.read().splitlines())
                    return {line[2]: b" ".join(line) for line in lines if len(line) == 3}
            self.path.unlink()
        return {}

    def _keep(self, of: Stamp, digest: str) -> None:
        rest = digest.encode() + b" " + _key(of)
        line = _check(rest) + b" " + rest
        assert self._lines is not None  # looked up before it was hashed
        self._lines[_key(of)] = line
        if self.path is None:
            return
        with suppress(OSError):  # a full disk or a read-only store: it is only a cache
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
            opened = os.open(self.path, flags, 0o644)
            try:
                os.write(opened, line + b"\n")
            finally:
                os.close(opened)


def _key(of: Stamp) -> bytes:
    return ",".join(map(str, of)).encode()


def _check(rest: bytes) -> bytes:
    return hashlib.sha256(rest).hexdigest()[:16].encode()


def seal_of(rest: Mapping[str, Any]) -> str:
    """What `sha256` says in a JSON object that has this rest."""
    return hashlib.sha256(canonical(rest).encode("utf-8", "surrogatepass")).hexdigest()


def sealed(value: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON on one line, or indented, with the seal as its last field."""
    found = {**value, "sha256": seal_of(value)}
    return json.dumps(found, indent=indent, allow_nan=False)


def unsealed(text: bytes | str) -> dict[str, Any]:
    """The object in a sealed text, without its seal. Raises Damaged."""
    return open_sealed(text)[0]


def open_sealed(text: bytes | str) -> tuple[dict[str, Any], str]:
    """The object in a sealed text without its seal, and the seal. Raises Damaged."""
    try:
        value = json.loads(text)
        seal = value.pop("sha256")
        if seal == seal_of(value):
            return value, seal
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise Damaged(f"not whole JSON: {error!r}"[:200]) from error
    raise Damaged("its sha256 is not that of its content")


def read_json(path: Path) -> bytes:
    """The text of a JSON file, which is regular and not endless. Raises Damaged."""
    opened, found = open_regular(path)
    with os.fdopen(opened, "rb") as stream:
        if found.size > LARGEST_JSON:
            raise Damaged(f"{found.size} bytes of JSON")
        try:
            return stream.read()
        except OSError as error:
            raise Damaged(error.strerror or str(error)) from error


def read_sealed(path: Path) -> dict[str, Any]:
    """The content of a sealed file. Raises Damaged."""
    return unsealed(read_json(path))


def write_sealed(path: Path, value: Mapping[str, Any], indent: int | None = None) -> None:
    """Put a sealed file in place by one rename, on disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(sealed(value, indent) + "\n", encoding="ascii")
    fsync(temporary)
    try:
        os.replace(temporary, path)
    except IsADirectoryError as error:
        temporary.unlink()
        raise InputError(f"{path} is a folder where a file belongs.", "Move it away.") from error
    fsync(path.parent)


def write_removed(folder: Path, files: Mapping[str, Any]) -> None:
    """Say in an artifact's folder which of its weights are not there on purpose."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    write_sealed(folder / REMOVED, {"removed_at": moment, "files": files}, indent=1)


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises InputError where something else is in its place."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{error.filename} is no folder, or a link to nothing.",
            "Move it away, or choose another --store.",
        ) from error


def remove(path: Path) -> None:
    """Delete whatever is there: a folder with all in it, a link without what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Flush a file or a directory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
