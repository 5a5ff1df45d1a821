"""sftp:// – a folder behind an SSH server. Keys, agent and known hosts are those of `ssh`.

One connection and one transfer at a time, whose blocks are under way together; no host is believed
that known_hosts does not know.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from seal_cli.store.artifact import Artifact
from seal_cli.store.remote.transport import Address, Moved, denied, missing, no_place, reaching
from stages.errors import InputError

T = TypeVar("T")
_TIMES = {"connect_timeout": 10, "login_timeout": 20, "keepalive_interval": 15}  # seconds


class Sftp:
    """A folder of another machine."""

    threads = 1

    def __init__(self, address: Address) -> None:
        try:
            import asyncssh
        except ImportError as error:
            raise missing("sftp://", "asyncssh", "seal-adapt[sftp]") from error
        self._ssh: Any = asyncssh
        self.address = address
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        with self._reaching():
            self._files = self._do(self._connected())
            if not self._do(self._files.isdir(address.path)):
                if not self._do(self._files.isdir(str(Path(address.path).parent))):
                    raise no_place(f"folder {address}")
                self._do(self._files.makedirs(address.path, exist_ok=True))

    async def _connected(self) -> Any:
        parts = urlsplit(str(self.address))
        given = {"port": parts.port, "username": parts.username}
        known = {name: value for name, value in given.items() if value is not None}
        connection = await self._ssh.connect(parts.hostname, **known, **_TIMES)
        return await connection.start_sftp_client()

    def read(self, name: str) -> bytes | None:
        """A small file; null where there is none."""
        with self._reaching():
            try:
                return self._do(self._read(self._at(name)))
            except self._ssh.SFTPNoSuchFile:
                return None

    async def _read(self, path: str) -> bytes:
        async with self._files.open(path, "rb") as file:
            found: bytes = await file.read()
            return found

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below a folder."""
        with self._reaching():
            return self._do(self._sizes(self._at(folder), ""))

    async def _sizes(self, folder: str, prefix: str) -> dict[str, int]:
        found: dict[str, int] = {}
        async for name, kind, size in self._listed(folder):
            if kind == self._ssh.FILEXFER_TYPE_DIRECTORY:
                found |= await self._sizes(f"{folder}/{name}", f"{prefix}{name}/")
            elif kind == self._ssh.FILEXFER_TYPE_REGULAR:
                found[f"{prefix}{name}"] = size
        return found

    async def _listed(self, folder: str) -> AsyncIterator[tuple[str, int, int]]:
        """Name, type and size of what is in a folder; nothing where there is none."""
        try:
            async for entry in self._files.scandir(folder):
                if entry.filename not in (".", ".."):
                    yield entry.filename, entry.attrs.type, entry.attrs.size
        except self._ssh.SFTPNoSuchFile:
            return

    def names(self, folder: str) -> list[str]:
        """The folders in a folder."""
        with self._reaching():
            return sorted(self._do(self._names(self._at(folder))))

    async def _names(self, folder: str) -> list[str]:
        directory = self._ssh.FILEXFER_TYPE_DIRECTORY
        return [name async for name, kind, _ in self._listed(folder) if kind == directory]

    def get(self, name: str, target: Path, moved: Moved) -> None:
        """Copy a file here; a link comes as a link, which nobody follows."""
        with self._reaching():
            try:
                copied = self._files.get(self._at(name), str(target), **_told(moved))
                self._do(copied)
            except self._ssh.SFTPNoSuchFile as error:
                hint = "Push its artifact again."
                raise InputError(f"{self.address}/{name} is not there.", hint) from error

    def put(self, source: Path, name: str, moved: Moved) -> None:
        """Copy a file there, under another name until all of it has come."""
        with self._reaching():
            self._do(self._put(source, self._at(name), moved))

    async def _put(self, source: Path, path: str, moved: Moved) -> None:
        temporary = await self._temporary(path)
        await self._files.put(str(source), temporary, **_told(moved))
        await self._files.posix_rename(temporary, path)

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file unless it is there: this protocol's rename replaces nothing."""
        with self._reaching():
            return self._do(self._create(self._at(name), content))

    async def _create(self, path: str, content: bytes) -> bool:
        temporary = await self._written(path, content)
        try:
            await self._files.rename(temporary, path)
        except self._ssh.SFTPError:
            await self._files.remove(temporary)
            if not await self._files.exists(path):
                raise
            return False
        return True

    def replace(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self._reaching():
            self._do(self._replace(self._at(name), content))

    async def _replace(self, path: str, content: bytes) -> None:
        await self._files.posix_rename(await self._written(path, content), path)

    async def _written(self, path: str, content: bytes) -> str:
        temporary = await self._temporary(path)
        async with self._files.open(temporary, "wb") as file:
            await file.write(content)
        return temporary

    async def _temporary(self, path: str) -> str:
        """A name beside a path, in a folder that is there."""
        folder, _, name = path.rpartition("/")
        await self._files.makedirs(folder, exist_ok=True)
        return f"{folder}/.{name}.{os.uname().nodename}.{os.getpid()}.tmp"

    def done(self, sent: Sequence[Artifact]) -> Sequence[str]:
        """Nothing is left to do."""
        return ()

    def _at(self, name: str) -> str:
        return f"{self.address.path}/{name}"

    def _do(self, wanted: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(wanted, self._loop).result()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        with reaching(self.address, self._ssh.Error):
            try:
                yield
            except (self._ssh.PermissionDenied, self._ssh.SFTPPermissionDenied) as error:
                raise denied(self.address) from error


def _told(moved: Moved) -> dict[str, Any]:
    """How a copy tells of its progress."""
    last = 0

    def progress(_: bytes, __: bytes, done: int, ___: int) -> None:
        nonlocal last
        more, last = done - last, done
        moved(more)

    return {"progress_handler": progress}
