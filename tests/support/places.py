"""What every place that artifacts are pushed to has to withstand, over real processes.

A test module gives a `place` and imports the scenarios; each is one test.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from small import SMALL, Small
from typer.testing import CliRunner

from seal_cli.app import app
from seal_cli.store.files import unsealed
from seal_cli.store.verify import Verifier
from seal_cli.store.workspace import Workspace

ROOT = Path(__file__).parent.parent.parent
N_FILES = 40  # of weights in a fat artifact
KILLED = -9


@dataclass
class At:
    """A place: its URL, what the environment has of it, and how a file there is damaged.

    `inside`: commands that are not killed run in this process, which is quicker.
    """

    url: str
    spoil: Callable[[str], None]  # takes a name below the URL
    environ: Mapping[str, str] = field(default_factory=dict)
    inside: bool = False

    def seal(self, store: Path, *argv: object, **environ: str) -> subprocess.CompletedProcess[str]:
        if not self.inside or "SEAL_FAILPOINT" in environ:
            return ended(self.begun(store, *argv, **environ))
        arguments = ["--store", str(store), *map(str, argv)]
        done = CliRunner().invoke(app, arguments, env={**self.environ, **environ})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    def begun(self, store: Path, *argv: object, **environ: str) -> "subprocess.Popen[str]":
        """A process that runs `seal`."""
        unset = ("SEAL_STORE", "SEAL_REMOTE", "SEAL_CONFIG")
        inherited = {k: v for k, v in os.environ.items() if k not in unset}
        return subprocess.Popen(
            [sys.executable, "-m", "seal_cli", "--store", str(store), *map(str, argv)],
            env=inherited | {"PYTHONPATH": str(ROOT)} | self.environ | environ,
            cwd=store.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def ended(process: "subprocess.Popen[str]") -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def fat(made: Small, store: Path, *, content: str = "", size: int = 2000) -> str:
    """A store with an adapters artifact of many files, which differ with `content`; its id."""
    shutil.copytree(made.root, store)
    small = Small(store, made.commands, made.ids)
    folder, files = small.path("adapt"), {}
    for number in range(N_FILES):
        file = folder / f"__weights/more/{number:03}.bin"
        file.parent.mkdir(exist_ok=True)
        block = hashlib.sha256(f"{content}{number}".encode()).digest()
        file.write_bytes((block * (size // 32 + 1))[:size])
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        files[file.relative_to(folder).as_posix()] = {"bytes": size, "sha256": digest}
    manifest = unsealed((folder / "_manifest.json").read_bytes())
    small.reseal("adapt", files=manifest["files"] | files, host=f"host {content}")
    return made.ids["adapt"]


def whole(store: Path, *ids: str) -> bool:
    return not list(Verifier(Workspace(store)).closure(list(ids)))


def files_in(text: str) -> int:
    """How many files were copied, as it was said."""
    found = re.search(r"in (\d+) files", text)
    assert found, text
    return int(found[1])


def said(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What it said; one sentence and what to do next where it failed, and never a traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code > 0:
        assert re.search(r"^seal: .*\.\n      .*\.?\n\Z", done.stderr, re.MULTILINE), done.stderr
        assert done.stdout == ""
    return done.stderr


def pointer(artifact_id: str) -> str:
    return f"artifacts/{artifact_id}/_manifest.json"


def test_there_and_back(place: At, made: Small, tmp_path: Path) -> None:
    rewards, other = made.ids["score"], tmp_path / "other"
    pushed = place.seal(made.root, "push", rewards, place.url)
    assert "4 artifacts sent" in said(pushed, 0)
    assert pushed.stdout == f"{rewards}\n"
    assert "0 artifacts sent in 0 files, 4 were there" in said(
        place.seal(made.root, "push", rewards, place.url), 0
    )
    pulled = place.seal(other, "pull", rewards, place.url)
    assert "4 artifacts fetched" in said(pulled, 0)
    assert pulled.stdout == f"{rewards}\n"
    assert whole(other, rewards)
    for one in (made.ids[s] for s in ("import", "generate", "adapt", "score")):
        here, there = (root / "artifacts" / one / "_manifest.json" for root in (made.root, other))
        assert here.read_bytes() == there.read_bytes()
    assert place.seal(other, "log", rewards).returncode == 0
    listed = place.seal(tmp_path / "none", "ls", "--remote", place.url, "--json")
    assert said(listed, 0) == ""
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    assert {row["artifact_id"] for row in rows} == set(Workspace(other).ids())
    assert not (tmp_path / "none").exists()
    assert "verified 4 artifacts" in said(
        place.seal(tmp_path / "none", "verify", "--remote", place.url, "--all"), 0
    )


def test_tables_first_and_weights_later(place: At, made: Small, tmp_path: Path) -> None:
    adapters, other = made.ids["adapt"], tmp_path / "other"
    place.seal(made.root, "push", adapters, place.url, "--no-weights")
    said(place.seal(other, "pull", adapters, place.url), 0)
    artifact = Workspace(other).artifact(adapters)
    n_weights = len(artifact.removed)
    assert n_weights > 0
    assert whole(other, adapters)
    assert "was removed" in said(place.seal(other, "score", adapters), 3)
    sent = said(place.seal(made.root, "push", adapters, place.url), 0)
    assert files_in(sent) == n_weights
    came = said(place.seal(other, "pull", adapters, place.url), 0)
    assert files_in(came) == n_weights
    assert artifact.removed == {}
    assert whole(other, adapters)
    assert place.seal(other, "score", adapters).stdout == f"{made.ids['score']}\n"


def test_several_pushers_of_one_id(place: At, made: Small, tmp_path: Path) -> None:
    stores = [tmp_path / f"s{i}" for i in range(8)]
    (adapters,) = {fat(made, store, content=str(i)) for i, store in enumerate(stores)}
    running = [place.begun(s, "push", adapters, place.url, "--no-closure") for s in stores]
    texts = [said(ended(process), 0) for process in running]
    n_losers = sum("another run of the same key" in text for text in texts)
    print(f"{place.url}: {8 - n_losers} of 8 pushers of one id won")
    assert n_losers < 8
    said(place.seal(made.root, "push", made.ids["generate"], place.url), 0)
    said(place.seal(tmp_path / "other", "pull", adapters, place.url), 0)
    assert whole(tmp_path / "other", adapters)
    came = (tmp_path / "other/artifacts" / adapters / "_manifest.json").read_bytes()
    assert came in [
        (store / "artifacts" / adapters / "_manifest.json").read_bytes() for store in stores
    ]


def test_a_killed_push_goes_on(place: At, made: Small, tmp_path: Path) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    adapters = fat(made, store)
    everything = len(Workspace(store).artifact(adapters).manifest["files"])
    said(place.seal(store, "push", made.ids["generate"], place.url), 0)
    killed = place.seal(store, "push", adapters, place.url, SEAL_FAILPOINT="file-sent:kill@20")
    assert killed.returncode == KILLED
    assert f"{adapters} is not at" in said(place.seal(other, "pull", adapters, place.url), 3)
    again = said(place.seal(store, "push", adapters, place.url), 0)
    assert 0 < files_in(again) <= everything - 20
    print(f"{place.url}: {everything - files_in(again)} of {everything} files were kept by a push")
    said(place.seal(other, "pull", adapters, place.url), 0)
    assert whole(other, adapters)


def test_a_killed_pull_goes_on(place: At, made: Small, tmp_path: Path) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    adapters = fat(made, store)
    everything = len(Workspace(store).artifact(adapters).manifest["files"])
    said(place.seal(store, "push", adapters, place.url), 0)
    said(place.seal(other, "pull", made.ids["generate"], place.url), 0)
    killed = place.seal(other, "pull", adapters, place.url, SEAL_FAILPOINT="file-received:kill@20")
    assert killed.returncode == KILLED
    assert adapters not in Workspace(other).ids()
    again = said(place.seal(other, "pull", adapters, place.url), 0)
    assert 0 < files_in(again) <= everything - 20
    print(f"{place.url}: {everything - files_in(again)} of {everything} files were kept by a pull")
    assert whole(other, adapters)
    assert list((other / "work").iterdir()) == []


def test_a_flipped_byte_is_found_and_repaired(place: At, made: Small, tmp_path: Path) -> None:
    store, other = made.root, tmp_path / "other"
    edits = made.ids["generate"]
    said(place.seal(store, "push", edits, place.url), 0)
    manifest = (store / "artifacts" / edits / "_manifest.json").read_bytes()
    name = f"artifacts/{edits}/{hashlib.sha256(manifest).hexdigest()[:16]}/part-00000.parquet"
    place.spoil(name)
    text = said(place.seal(other, "pull", edits, place.url), 3)
    assert "part-00000.parquet" in text
    assert edits not in Workspace(other).ids()
    found = place.seal(other, "verify", "--remote", place.url, edits)
    assert found.returncode == 3
    assert f"{edits} part-00000.parquet: its sha256 is not the manifest's." in found.stdout
    said(place.seal(store, "push", edits, place.url), 0)  # by name and size it is there
    said(place.seal(other, "pull", edits, place.url), 3)
    assert files_in(said(place.seal(store, "push", "--repair", edits, place.url), 0)) == 1
    said(place.seal(other, "pull", edits, place.url), 0)
    assert whole(other, edits)
    place.spoil(pointer(edits))
    text = said(place.seal(tmp_path / "third", "pull", edits, place.url), 3)
    assert f"the manifest of {edits} there cannot be used" in text
    listed = place.seal(other, "ls", "--remote", place.url)
    assert made.ids["import"] in listed.stdout
    assert f"the manifest of {edits} there cannot be used" in said(listed, 0)
    assert "cannot be used" in said(place.seal(store, "push", edits, place.url), 3)
    said(place.seal(store, "push", "--repair", edits, place.url), 0)
    said(place.seal(tmp_path / "third", "pull", edits, place.url), 0)


def test_what_is_damaged_here_does_not_leave(place: At, made: Small, tmp_path: Path) -> None:
    store = tmp_path / "store"
    adapters = fat(made, store)
    file = next((store / "artifacts" / adapters).glob("__weights/more/*"))
    file.write_bytes(bytes(file.stat().st_size))
    text = said(place.seal(store, "push", adapters, place.url), 3)
    assert file.name in text
    said(place.seal(tmp_path / "other", "pull", adapters, place.url), 3)


def test_a_round_in_two_stores_has_the_ids_of_one(place: At, made: Small, tmp_path: Path) -> None:
    """Each stage runs in another store than the one before, which shares nothing but the place."""
    stores = [tmp_path / "a", tmp_path / "b"]
    for number, stage in enumerate(made.commands):
        store = stores[number % 2]
        done = place.seal(store, *made.commands[stage], "--remote", place.url)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{made.ids[stage]}\n"
    for number, stage in enumerate(made.commands):  # and each is a hit in the other
        store = stores[(number + 1) % 2]
        done = place.seal(store, *made.commands[stage], SEAL_REMOTE=place.url)
        assert "is there already" in said(done, 0)
        assert done.stdout == f"{made.ids[stage]}\n"
        assert whole(store, made.ids[stage])


def test_shards_of_two_stores_merge_in_a_third(place: At, made: Small, tmp_path: Path) -> None:
    command = [*made.commands["generate"], "--remote", place.url]
    said(place.seal(made.root, "push", made.ids["import"], place.url), 0)
    for part in ("1/2", "2/2"):
        shard = place.seal(tmp_path / f"s{part[0]}", *command, "--shard", part)
        assert shard.returncode == 0, shard.stderr
        again = place.seal(tmp_path / "again", *command, "--shard", part)
        assert "is there already" in said(again, 0)
    assert made.ids["generate"] not in place.seal(tmp_path, "ls", "--remote", place.url).stdout
    merged = place.seal(tmp_path / "third", *command, "--merge-only")
    assert merged.returncode == 0, merged.stderr
    assert merged.stdout == f"{made.ids['generate']}\n"
    assert whole(tmp_path / "third", made.ids["generate"])


def test_base_models_travel_when_asked(
    place: At, made: Small, random_model: Path, tmp_path: Path
) -> None:
    """A model that is where no manifest says is found in the store that it came to."""
    store, other, moved = tmp_path / "store", tmp_path / "other", tmp_path / "model"
    shutil.copytree(random_model, moved)
    edits = made.commands["generate"]
    own = [moved if one == random_model else one for one in edits]
    said(place.seal(store, *made.commands["import"]), 0)
    found = place.seal(store, *own)
    assert found.stdout == f"{made.ids['generate']}\n", found.stderr
    said(place.seal(store, "push", made.ids["generate"], place.url, "--with-models"), 0)
    shutil.rmtree(moved)
    said(place.seal(other, "pull", made.ids["generate"], place.url), 0)
    adapt = ["adapt", made.ids["generate"], "--repeats", 1, *SMALL]
    assert "is not at" in said(place.seal(other, *adapt), 2)
    text = said(place.seal(other, "pull", made.ids["generate"], place.url, "--with-models"), 0)
    assert f"is in {other / 'models'}" in text
    assert place.seal(other, *adapt).stdout == f"{made.ids['adapt']}\n"
