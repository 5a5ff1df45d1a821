"""s3:// and gs:// – object stores through fsspec. Credentials come from the environment alone.

Nothing is cached: not a listing, not an instance (whose options may hold a key).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seal_cli.store.artifact import Artifact
from seal_cli.store.remote.transport import Address, Moved, denied, missing, no_place, reaching
from stages.errors import InputError

_TIMES = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 2}}  # seconds
_OPTIONS: dict[str, dict[str, Any]] = {"s3": {"config_kwargs": _TIMES}}
_PACKAGES = {"s3": ("s3fs", "seal-adapt[s3]"), "gs": ("gcsfs", "gcsfs")}


class Objects:
    """A bucket, or a part of it."""

    threads = 8

    def __init__(self, address: Address) -> None:
        import fsspec

        self.address = address
        options = _OPTIONS.get(address.scheme, {})
        try:
            self.files = fsspec.filesystem(
                address.scheme, use_listings_cache=False, skip_instance_cache=True, **options
            )
        except ImportError as error:
            raise missing(f"{address.scheme}://", *_PACKAGES[address.scheme]) from error

    def read(self, name: str) -> bytes | None:
        """A small file; null where there is none."""
        with self._reaching():
            try:
                found: bytes = self.files.cat_file(self._at(name))
                return found
            except FileNotFoundError as error:
                self._place(error)
                return None

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below a folder."""
        root = self._at(folder)
        with self._reaching():
            try:
                found = self.files.find(root, detail=True)
            except FileNotFoundError as error:
                self._place(error)
                return {}
        return {name[len(root) + 1 :]: entry["size"] for name, entry in found.items()}

    def names(self, folder: str) -> list[str]:
        """The folders in a folder."""
        with self._reaching():
            try:
                found = self.files.ls(self._at(folder), detail=True)
            except FileNotFoundError as error:
                self._place(error)
                return []
        return sorted(e["name"].rpartition("/")[2] for e in found if e["type"] == "directory")

    def get(self, name: str, target: Path, moved: Moved) -> None:
        """Copy a file here."""
        with self._reaching():
            try:
                self.files.get_file(self._at(name), str(target), callback=_told(moved))
            except FileNotFoundError as error:
                self._place(error)
                raise InputError(
                    f"{self.address}/{name} is not there.", "Push its artifact again."
                ) from error

    def put(self, source: Path, name: str, moved: Moved) -> None:
        """Copy a file there; the object appears when all of it has come."""
        with self._reaching():
            self.files.put_file(str(source), self._at(name), callback=_told(moved))

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless it is there, as far as the server can tell."""
        from errno import EEXIST

        if self.read(name) is not None:  # some servers ignore the condition
            return False
        with self._reaching():
            try:
                self.files.pipe_file(self._at(name), content, mode="create")
            except OSError as error:
                # Which error says that the condition failed differs from server to server.
                if error.errno == EEXIST or self.read(name) is not None:
                    return False
                raise
        return True

    def replace(self, name: str, content: bytes) -> None:
        """Write an object."""
        with self._reaching():
            self.files.pipe_file(self._at(name), content)

    def done(self, sent: Sequence[Artifact]) -> Sequence[str]:
        """Nothing is left to do."""
        return ()

    def _at(self, name: str) -> str:
        return f"{self.address.host}{self.address.path}/{name}"

    def _place(self, error: BaseException) -> None:
        """Raise ConfigError where not the object, but its bucket is missing."""
        said = getattr(error.__cause__, "response", {}).get("Error", {})
        if said.get("Code") == "NoSuchBucket":
            raise no_place(f"{self.address.scheme}://{self.address.host}") from error

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        with reaching(self.address, *_library_errors()):
            try:
                yield
            except FileNotFoundError as error:  # of a write
                self._place(error)
                raise
            except _library_errors() as error:
                if "Credentials" in type(error).__name__:  # none, or some of them
                    raise denied(self.address) from error
                raise


def _library_errors() -> tuple[type[Exception], ...]:
    """What the S3 client raises besides OSError."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return ()
    return BotoCoreError, ClientError


def _told(moved: Moved) -> Any:
    from fsspec.callbacks import Callback

    class Told(Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            moved(inc)

    return Told()
