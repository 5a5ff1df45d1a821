"""hf:// – a repository of the Hugging Face hub: `hf://user/repo`, `hf://datasets/user/repo`.

A push is one commit on top of the commit that was looked at; where another came in between, it is
looked at anew. The token is that of `hf auth login`, or HF_TOKEN.
"""

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seal_cli.store.artifact import Artifact
from seal_cli.store.remote.card import card
from seal_cli.store.remote.transport import Address, Moved, denied, no_place, reaching
from stages.errors import ConfigError, InputError, ResourceError

_TRIES = 20  # of a commit, while others come in between
_CARD = "README.md"


class Hub:
    """A model or dataset repository."""

    threads = 4

    def __init__(self, address: Address) -> None:
        self.address = address
        *kind, user, name = ("", *f"{address.host}{address.path}".split("/"))[-3:]
        self.kind = "dataset" if kind == ["datasets"] else "model"
        if f"{user}/{name}" != str(address).removeprefix("hf://").removeprefix("datasets/"):
            raise ConfigError(
                f"{address} is no repository.", "Write hf://user/repo or hf://datasets/user/repo."
            )
        self._where = {"repo_id": f"{user}/{name}", "repo_type": self.kind}
        self._api = api()
        self._head, self._sizes = "", dict[str, int]()
        self._pending: dict[str, Any] = {}
        self._created: set[str] = set()  # of these, what was not there when it was put

    def read(self, name: str) -> bytes | None:
        """A small file; null where there is none."""
        if name not in self._tree():
            return None
        with tempfile.TemporaryDirectory() as folder:
            self.get(name, Path(folder) / "file", lambda _: None)
            return (Path(folder) / "file").read_bytes()

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below a folder."""
        begin = f"{folder}/"
        found = self._tree().items()
        return {name.removeprefix(begin): n for name, n in found if name.startswith(begin)}

    def names(self, folder: str) -> list[str]:
        """The folders in a folder."""
        return sorted({name.split("/")[0] for name in self.sizes(folder) if "/" in name})

    def get(self, name: str, target: Path, moved: Moved) -> None:
        """Copy a file here."""
        from huggingface_hub.errors import EntryNotFoundError

        self._tree()
        with self._reaching(), tempfile.TemporaryDirectory(dir=target.parent) as folder:
            try:
                found = self._api.hf_hub_download(
                    filename=name, revision=self._head, local_dir=folder, **self._where
                )
            except EntryNotFoundError as error:
                hint = "Push its artifact again."
                raise InputError(f"{self.address}/{name} is not there.", hint) from error
            os.replace(found, target)
        moved(target.stat().st_size)

    def put(self, source: Path, name: str, moved: Moved) -> None:
        """Send a file's content; it appears with the commit."""
        self._add(name, source)
        with self._reaching():
            self._api.preupload_lfs_files(additions=[self._pending[name]], **self._where)
        moved(source.stat().st_size)

    def create(self, name: str, content: bytes) -> bool:
        """Let a small file appear with the commit, unless it is there by then."""
        if name in self._tree():
            return False
        self._add(name, content)
        self._created.add(name)
        return True

    def replace(self, name: str, content: bytes) -> None:
        """Let a small file appear with the commit."""
        self._add(name, content)

    def done(self, sent: Sequence[Artifact]) -> Sequence[str]:
        """Commit what was put, with the card of what is there then."""
        from huggingface_hub.errors import HfHubHTTPError

        lost: list[str] = []
        for _ in range(_TRIES if self._pending else 0):
            for name in self._created & self._tree().keys():  # whoever was first has won
                self._created.remove(name)
                content = self._pending.pop(name).path_or_fileobj
                if self.read(name) != content:
                    lost.append(name)
            self._add(_CARD, card(self.read(_CARD), sent, self.kind, self._where["repo_id"]))
            if self._created & self._sizes.keys():  # since then, another came
                continue
            with self._reaching(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tables beside a model are meant to be there
                try:
                    self._api.create_commit(
                        operations=list(self._pending.values()),
                        commit_message=f"seal push {' '.join(one.id for one in sent)}"[:200],
                        parent_commit=self._head,
                        **self._where,
                    )
                    self._pending.clear()
                    self._created.clear()
                    return lost
                except HfHubHTTPError as error:
                    if error.response.status_code not in (409, 412):
                        raise
        if self._pending:
            raise ResourceError(f"{self.address} is busy.", "Push again: the content is there.")
        return lost

    def _add(self, name: str, content: Path | bytes) -> None:
        from huggingface_hub import CommitOperationAdd

        given = content if isinstance(content, bytes) else str(content)
        self._pending[name] = CommitOperationAdd(path_in_repo=name, path_or_fileobj=given)

    def _tree(self) -> dict[str, int]:
        """Every file of the newest commit -> bytes."""
        with self._reaching():
            head = self._api.repo_info(**self._where).sha
            if head != self._head:
                found = self._api.list_repo_tree(recursive=True, revision=head, **self._where)
                self._sizes = {f.path: f.size for f in found if hasattr(f, "size")}
                self._head = head
        return self._sizes

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

        with reaching(self.address, HfHubHTTPError.__mro__[1]):  # of its HTTP library
            try:
                yield
            except RepositoryNotFoundError as error:
                raise no_place(f"{self.address} that this token can see") from error
            except HfHubHTTPError as error:
                if error.response is not None and error.response.status_code in (401, 403):
                    raise denied(self.address) from error
                raise


def api() -> Any:
    """The hub's client, which talks to nobody yet and shows no bars of its own."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    return HfApi()
