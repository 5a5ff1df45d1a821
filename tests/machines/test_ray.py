"""Runs on the workers of a Ray cluster, disturbed as they will be: the rows of one process.

The traps are those of Ray that a prototype fell into; each test says which it holds closed.
"""

import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from real import Real
from rounds import same_stores

from seal_cli.store.workspace import Workspace

SOON = 10.0  # seconds within which what cannot work is said


def test_two_workers_of_this_machine(scoring: Real) -> None:
    """Without an address one is begun here, whatever a file of Ray's says (traps 2, 6, 10)."""
    place = Path(tempfile.mkdtemp(prefix="r"))  # short: Ray has sockets below it
    (place / "ray").mkdir()
    (place / "ray/ray_current_cluster").write_text("192.0.2.1:6379")
    done = scoring.run(f"{scoring.command} --executor ray --workers 2", {"RAY_TMPDIR": str(place)})
    assert done.returncode == 0, done.stderr
    assert "raylet" not in done.stderr
    scoring.is_whole(done.stdout)
    shutil.rmtree(place)


def test_a_node_without_our_files(machines: Any, training: Real) -> None:
    """Inputs and models come by id through the depot, weights go back, and the node keeps them."""
    machines.node(far=True)
    training.is_whole(training.sh(f"{training.command} {machines.flags} --workers 2"))
    theirs = Workspace(machines.store)
    assert theirs.ids() == sorted([training.contexts, training.edits])
    assert [theirs.artifact(i).digest for i in theirs.ids()] == [
        Workspace(training.store).artifact(i).digest for i in theirs.ids()
    ]
    assert len(list((machines.store / "models").iterdir())) == 1
    before = {p: p.stat().st_ino for p in machines.store.rglob("*.safetensors")}
    training.sh(f"{training.command} {machines.flags} --workers 1 --seed 1")
    assert {p: p.stat().st_ino for p in machines.store.rglob("*.safetensors")} == before


@pytest.mark.parametrize("regime", ["cpt", "continual --edits 3 --sequences 2"])
def test_phase_after_phase(machines: Any, tmp_path: Path, regime: str) -> None:
    machines.node(far=True)
    real = Real(tmp_path, f"eval tiny CONTEXTS --regime {regime} --epochs 2", limit=6)
    real.is_whole(real.sh(f"{real.command} {machines.flags} --workers 2"))


def test_a_loop_joins_once_and_ends_with_the_same_store(machines: Any, tmp_path: Path) -> None:
    machines.node(far=True)
    how = "--rounds 2 --limit 2 --samples 2 --repeats 1 --eval-limit 2"
    real = Real(tmp_path, f"loop --contexts CONTEXTS --policy tiny {how}", limit=4)
    store, expected = real.whole
    assert real.sh(f"{real.command} {machines.flags} --workers 2") == expected
    same_stores(real.store, store)


def test_a_busy_worker_is_killed(machines: Any, training: Real) -> None:
    machines.node()
    process = training.start(f"{training.command} {machines.flags} --workers 2")
    machines.kill("work")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "a worker died" in err
    assert "raylet" not in out  # trap 1: that is where Ray tells of it
    training.is_whole(out)


def test_a_starting_worker_is_killed(machines: Any, scoring: Real) -> None:
    """It had no batch yet (trap 4)."""
    machines.node()
    process = scoring.start(f"{scoring.command} {machines.flags} --workers 2")
    machines.kill("ray::Worker")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    scoring.is_whole(out)


def test_a_far_node_is_lost(machines: Any, training: Real) -> None:
    machines.node(1)
    far = machines.node(1, far=True)
    process = training.start(f"{training.command} {machines.flags} --workers 2")
    machines.wait_for(lambda: sum("work" in at for at in machines.workers.values()) == 2)
    machines.remove(far, graceful=False)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "is begun again" in err
    training.is_whole(out)


def test_the_driver_is_killed_and_goes_on(machines: Any, training: Real) -> None:
    machines.node()
    command = f"{training.command} {machines.flags} --workers 1"
    process = training.start(f"exec {command}")
    machines.wait_for(lambda: len(list(training.store.glob("work/*/batches/0*"))) >= 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = training.run(command)
    assert "going on after" in again.stderr
    for left in training.store.glob("work/*.tmp"):  # of the killed one: `seal gc` sweeps it
        left.unlink()
    training.is_whole(again.stdout)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_is_interrupted(machines: Any, training: Real, number: int, code: int) -> None:
    """In the middle of `ray.wait` (trap 5); Ray has a handler of its own for SIGTERM."""
    machines.node()
    command = f"{training.command} {machines.flags} --workers 1"
    process = training.start(f"exec {command}")
    machines.wait_for(lambda: any("work" in at for at in machines.workers.values()))
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "")
    assert err.count("run the same command to go on") == 1
    assert "Traceback" not in err
    machines.wait_for(lambda: not machines.workers)


def test_workers_that_always_die_end_the_run(machines: Any, scoring: Real) -> None:
    """Each receives the first file of an input, and is killed there."""
    machines.node(far=True, SEAL_FAILPOINT="file-received:kill")
    done = scoring.run(f"{scoring.command} {machines.flags} --workers 1")
    assert (done.returncode, done.stdout) == (5, "")
    assert "3 workers died" in done.stderr
    assert list(scoring.store.glob("work/ray-*.tmp"))  # what Ray said is kept


def said_soon(real: Real, flags: str, **environ: str) -> str:
    """What is said of a cluster that cannot be used: in a sentence, with nothing begun."""
    start = time.monotonic()
    done = real.run(f"{real.command} --executor ray {flags}", environ)
    assert time.monotonic() - start < SOON
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 3, done.stderr
    return str(done.stderr)


def test_nobody_listens(scoring: Real) -> None:
    """Trap 3; a stale RAY_ADDRESS is the same."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert "no Ray cluster answers" in said_soon(scoring, "", RAY_ADDRESS=address)
    assert "no Ray cluster answers" in said_soon(scoring, "--ray-address 192.0.2.77:6379")
    assert "HOST:PORT" in said_soon(scoring, "--ray-address auto")


def test_somebody_else_listens(scoring: Real) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert "no Ray cluster answers" in said_soon(scoring, f"--ray-address {address}")


def test_another_version_is_refused(machines: Any, scoring: Real, tmp_path: Path) -> None:
    """Trap 11: ray.nodes() lists dead ones, too; those are not asked."""
    machines.remove(machines.node())
    other = tmp_path / "other/peft-0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: peft\nVersion: 0.1\n")
    machines.node(PYTHONPATH=str(other.parent))
    said = said_soon(scoring, f"--ray-address {machines.cluster.address}")
    assert "has peft 0.1" in said
    listed = scoring.sh(f"$SEAL doctor --ray --ray-address {machines.cluster.address}")
    assert "peft 0.1" in listed
    assert listed.count("CPUs") == 2  # the head and one node


def test_a_worker_that_fits_no_node_is_refused(machines: Any, scoring: Real) -> None:
    machines.node(1)
    address = f"--ray-address {machines.cluster.address}"
    assert "no node of the cluster" in said_soon(scoring, f"{address} --gpus-per-worker 1")
    assert "no node of the cluster" in said_soon(scoring, f"{address} --cpus-per-worker 3")
