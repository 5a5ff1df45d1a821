"""What every transport can do, and how what it cannot do is said."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from seal_cli.store.artifact import Artifact
from stages.errors import ConfigError, ResourceError, SealError

Moved = Callable[[int], None]  # takes how many more bytes came or went; what it raises ends it


class Address(NamedTuple):
    """A URL without anything secret in it: `<scheme>://<host>/<path>`."""

    scheme: str
    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}{self.path}"


class Transport(Protocol):
    """Files at an address, by names with slashes. All raise a SealError with what to do next."""

    threads: int  # in which its calls may be made at once

    def read(self, name: str) -> bytes | None:
        """A small file; null where there is none."""

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below a folder, by their names in it -> bytes."""

    def names(self, folder: str) -> list[str]:
        """The folders in a folder."""

    def get(self, name: str, target: Path, moved: Moved) -> None:
        """Copy a file here."""

    def put(self, source: Path, name: str, moved: Moved) -> None:
        """Copy a file there; one that is there is replaced. A cut one has another size."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file at once unless it is there; whether it was written."""

    def replace(self, name: str, content: bytes) -> None:
        """Write a small file."""

    def done(self, sent: Sequence[Artifact]) -> Sequence[str]:
        """All of a push was written; names that others created meanwhile, otherwise."""


@contextmanager
def reaching(where: object, *kinds: type[Exception]) -> Iterator[None]:
    """Errors of a library as sentences; those of `kinds` are of no place that could be reached."""
    try:
        yield
    except SealError:
        raise
    except PermissionError as error:
        raise denied(where) from error
    except TimeoutError as error:
        raise unreachable(where, error) from error
    except OSError as error:
        raise unreachable(where, error) from error
    except kinds as error:
        raise unreachable(where, error) from error


def denied(where: object) -> SealError:
    """No access."""
    return ResourceError(
        f"{where} refuses access.",
        "Check the credentials in the environment, and what they are allowed to do there.",
    )


def no_place(where: object) -> SealError:
    """No bucket, no folder, no repository."""
    return ConfigError(f"there is no {where}.", "Make it first, or correct the URL.")


def unreachable(where: object, error: BaseException) -> SealError:
    """Nobody answers, or not in a way that is understood."""
    said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return ResourceError(
        f"{where} cannot be used: {said[:300]}.",
        "Check the network and the server, then run the same command: what was copied is kept.",
    )


def missing(where: object, package: str, extra: str) -> SealError:
    """A package that is not installed."""
    return ConfigError(f"{where} needs {package}.", f"pip install '{extra}'")
