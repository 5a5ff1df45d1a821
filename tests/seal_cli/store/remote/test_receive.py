import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small import Small, flip

from seal_cli.store.artifact import Artifact
from seal_cli.store.files import read_json, unsealed, write_sealed
from seal_cli.store.remote.closure import closure
from seal_cli.store.remote.receive import Fetch, receive
from seal_cli.store.verify import Verifier
from seal_cli.store.workspace import Workspace
from stages.errors import BusyError, InputError


def copying(source: Path, fetched: list[str], spoil: Callable[[Path], None] | None = None) -> Fetch:
    """Fetches from a folder; notes what was fetched."""

    def fetch(name: str, target: Path, moved: Callable[[int], None]) -> None:
        content = (source / name).read_bytes()
        target.write_bytes(content)
        moved(len(content))
        fetched.append(name)
        if spoil:
            spoil(target)

    return fetch


@pytest.fixture
def store(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "other")


def test_an_artifact_comes_whole_and_its_manifest_byte_for_byte(
    made: Small, store: Workspace
) -> None:
    for stage in ("import", "generate", "adapt"):
        source, fetched = made.path(stage), list[str]()
        manifest = read_json(source / "_manifest.json")
        moved: list[int] = []
        came = receive(
            store,
            made.ids[stage],
            manifest,
            copying(source, fetched),
            threads=4,
            moved=moved.append,
        )
        assert (came.path / "_manifest.json").read_bytes() == manifest
        assert sum(moved) == sum(entry["bytes"] for entry in came.manifest["files"].values())
        assert sorted(fetched) == sorted(came.manifest["files"])
    assert list(Verifier(store).everything()) == []
    assert list(store.work.iterdir()) == []


def test_what_came_before_a_failure_is_kept(made: Small, store: Workspace) -> None:
    source = made.path("adapt")
    manifest = read_json(source / "_manifest.json")
    names = list(json.loads(manifest)["files"])
    bad, first, second = names[-1], list[str](), list[str]()

    def spoil(target: Path) -> None:
        if str(target).endswith(bad):
            flip(target)

    with pytest.raises(InputError, match=r"did not come as it was written.*sha256") as error:
        receive(store, made.ids["adapt"], manifest, copying(source, first, spoil))
    assert bad in error.value.message
    assert store.ids() == []
    receive(store, made.ids["adapt"], manifest, copying(source, second))
    assert second == [bad]


def test_what_is_there_stays(made: Small, store: Workspace) -> None:
    fetched: list[str] = []
    for _ in range(2):
        source = made.path("import")
        manifest = read_json(source / "_manifest.json")
        receive(store, made.ids["import"], manifest, copying(source, fetched))
    assert len(fetched) == len(set(fetched))


def test_weights_may_be_absent_and_tables_may_not(made: Small, store: Workspace) -> None:
    source, fetched = made.path("adapt"), list[str]()
    manifest = read_json(source / "_manifest.json")
    files = json.loads(manifest)["files"]
    weights = [name for name in files if name.startswith("__weights/")]
    with pytest.raises(InputError, match="cannot be without a table"):
        receive(store, made.ids["adapt"], manifest, copying(source, fetched), absent=list(files))
    came = receive(store, made.ids["adapt"], manifest, copying(source, fetched), absent=weights)
    assert sorted([*fetched, *weights]) == sorted(files)
    came.check()
    assert sorted(came.removed) == sorted(weights)
    assert [found.file for found in Verifier(store).closure([came.id])] == [None]  # its input


def test_a_server_that_never_ends_does_not_fill_the_disk(made: Small, store: Workspace) -> None:
    def endless(name: str, target: Path, moved: Callable[[int], None]) -> None:
        with target.open("ab") as stream:
            while True:
                stream.write(b"0" * 4096)
                moved(4096)

    manifest = read_json(made.path("import") / "_manifest.json")
    with pytest.raises(InputError, match=r"more than its \d+ bytes came"):
        receive(store, made.ids["import"], manifest, endless)


def broken(of: Small, tmp_path: Path, **changes: Any) -> bytes:
    """A manifest with its seal right and something else wrong."""
    file = of.path("import") / "_manifest.json"
    write_sealed(tmp_path / "m.json", unsealed(file.read_bytes()) | changes)
    return (tmp_path / "m.json").read_bytes()


@pytest.mark.parametrize(
    "name", ["../x.parquet", "/etc/x", "a/../../x", ".hidden", "_removed.json"]
)
def test_no_file_leaves_the_artifact(
    made: Small, store: Workspace, tmp_path: Path, name: str
) -> None:
    manifest = broken(made, tmp_path, files={name: {"bytes": 1, "sha256": "0" * 64}})
    fetched: list[str] = []
    with pytest.raises(InputError, match="no name of a file"):
        receive(store, made.ids["import"], manifest, copying(tmp_path, fetched))
    assert fetched == []
    assert store.ids() == []


def test_another_manifest_is_refused(made: Small, store: Workspace, tmp_path: Path) -> None:
    fetch = copying(made.path("import"), [])
    manifest = read_json(made.path("import") / "_manifest.json")
    with pytest.raises(InputError, match=f"it is that of {made.ids['import']}"):
        receive(store, made.ids["adapt"], manifest, fetch)
    with pytest.raises(InputError, match="not the one that was asked for"):
        receive(store, made.ids["import"], manifest, fetch, digest="0" * 64)
    for damaged in (manifest[:-9], manifest.replace(b'"ok"', b'"OK"'), b"[]", b"\xff"):
        with pytest.raises(InputError, match="cannot be used"):
            receive(store, made.ids["import"], damaged, fetch)
    assert store.ids() == []
    expected = Artifact(made.path("import")).digest
    assert receive(store, made.ids["import"], manifest, fetch, digest=expected).digest == expected


def test_whoever_makes_it_is_waited_for_or_not(made: Small, store: Workspace) -> None:
    from seal_cli.store.journal import locked

    store.create()
    manifest = read_json(made.path("import") / "_manifest.json")
    with (
        locked(store.lock_path(made.ids["import"]), wait=False),
        pytest.raises(BusyError, match="is being made"),
    ):
        receive(store, made.ids["import"], manifest, copying(made.path("import"), []))


def test_inputs_come_first() -> None:
    made_from = {"c": ["a", "b"], "b": ["a"], "a": [], "d": ["c"]}
    found = closure(made_from.__getitem__, ["c", "a"])
    assert found == ["a", "b", "c"]
    with pytest.raises(InputError, match="made from itself"):
        closure({"a": ["b"], "b": ["a"]}.__getitem__, ["a"])
