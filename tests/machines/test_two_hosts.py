"""Ray on two hosts that share no file system, and the network between them taken away.

A host is a network namespace of this machine with folders of its own; a veth pair is the network.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from real import Real

from seal_cli.store.workspace import Workspace

pytestmark = pytest.mark.soak
RAY = Path(sys.executable).parent / "ray"
DRIVER, OTHER = "198.18.77.1", "198.18.77.2"  # of a network for tests: RFC 2544
PORT = 6379  # each namespace has ports of its own
QUICK = '{"health_check_period_ms":500,"health_check_failure_threshold":4}'


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"`ip {' '.join(words)}` is refused: {done.stderr.strip()}")


class Hosts:
    """Two hosts; the driver's, a cluster's head, has the store."""

    def __init__(self, folder: Path) -> None:
        self.ray_folder = Path(tempfile.mkdtemp(prefix="r"))  # short: Ray has sockets below it
        self.driver, self.other = (f"seal{os.getpid()}{end}" for end in "ab")
        self.hidden = folder  # from the other host
        self.flags = f"--executor ray --ray-address {DRIVER}:{PORT} --workers 2"
        self.started: list[subprocess.Popen[bytes]] = []

    def connect(self) -> None:
        for name in (self.driver, self.other):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", "seal0", "netns", self.driver, "type", "veth",
           "peer", "name", "seal0", "netns", self.other)  # fmt: skip
        for name, address in ((self.driver, DRIVER), (self.other, OTHER)):
            ip("-n", name, "address", "add", f"{address}/30", "dev", "seal0")
            ip("-n", name, "link", "set", "seal0", "up")

    def link(self, state: str) -> None:
        ip("-n", self.driver, "link", "set", "seal0", state)

    def head(self) -> None:
        self._ray(self.driver, "", f"--head --node-ip-address={DRIVER} --port={PORT} "
                  f"--include-dashboard=false --system-config={QUICK!r}")  # fmt: skip

    def node(self) -> None:
        """A raylet of the other host, where the folders of the driver's are covered."""
        cover = f"mount -t tmpfs none {self.hidden} && mkdir {self.hidden}/home"
        self._ray(self.other, cover, f"--address={DRIVER}:{PORT} --node-ip-address={OTHER}")

    def _ray(self, host: str, first: str, options: str) -> None:
        line = f"exec {RAY} start {options} --num-cpus=1 --object-store-memory=200000000 --block"
        line = f"{first or 'true'} && {line} --disable-usage-stats --temp-dir={self.ray_folder}"
        environ = os.environ | {"HOME": f"{self.hidden}/home"}
        with (self.ray_folder / f"{host}.log").open("ab") as log:
            command = ["ip", "netns", "exec", host, "bash", "-c", line]
            self.started.append(subprocess.Popen(command, env=environ, stdout=log, stderr=log))

    def on_driver(self, command: str) -> str:
        """A command line of the driver's host."""
        return f"exec ip netns exec {self.driver} {command}"

    def pids(self, host: str) -> list[int]:
        done = subprocess.run(["ip", "netns", "pids", host], capture_output=True, check=False)
        return [int(pid) for pid in done.stdout.split()]

    def doing(self, host: str, what: str) -> list[int]:
        """The processes of a host that say that they do this."""
        found = []
        for pid in self.pids(host):
            with suppress(OSError):
                if what in Path(f"/proc/{pid}/cmdline").read_text():
                    found.append(pid)
        return found

    def log(self) -> str:
        return "".join(path.read_text() for path in self.ray_folder.glob("*.log"))

    def wait_for(self, what: Callable[[], Any], seconds: float = 90.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, f"it did not happen\n{self.log()}"
            time.sleep(0.02)
        return found

    def close(self) -> None:
        for host in (self.driver, self.other):
            for pid in self.pids(host):  # what was started there, and nothing else
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", host], capture_output=True, check=False)
        for process in self.started:
            process.wait(timeout=30)
        shutil.rmtree(self.ray_folder, ignore_errors=True)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    pytest.importorskip("ray", reason="Ray is not installed: make test-machines")
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root, and ip: apt-get install iproute2")
    made = Hosts(tmp_path)
    try:
        made.connect()
        made.head()
        made.node()
        made.wait_for(lambda: made.log().count("Ray runtime started") == 2)
        yield made
    finally:
        made.close()


def begun(hosts: Hosts, scoring: Real) -> "subprocess.Popen[str]":
    """A run of which both hosts have a batch."""
    expected = scoring.whole  # before: it wants the cores
    assert expected[1].startswith("score-")
    process = scoring.start(hosts.on_driver(f"{scoring.command} {hosts.flags}"))
    hosts.wait_for(lambda: all(hosts.doing(h, "Worker.work") for h in (hosts.driver, hosts.other)))
    return process


def ended(process: "subprocess.Popen[str]", scoring: Real) -> str:
    """What the run said; its rows are those of one process."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    scoring.is_whole(out)
    return err


def test_the_link_is_taken_down_for_good(hosts: Hosts, scoring: Real) -> None:
    """The worker beyond lives on, and what it still makes is nobody's."""
    process = begun(hosts, scoring)
    (beyond,) = hosts.doing(hosts.other, "ray::Worker")
    theirs = Workspace(Path(f"/proc/{beyond}/root{hosts.hidden}/home/.cache/seal/node-store"))
    assert scoring.edits in theirs.ids()
    assert not Path(f"/proc/{beyond}/root{scoring.store}").exists()
    hosts.link("down")
    said = ended(process, scoring)
    assert "is begun again" in said


def test_the_link_is_down_for_a_moment(hosts: Hosts, scoring: Real) -> None:
    """Shorter than what Ray waits for: the run goes on, whether or not a worker was given up."""
    process = begun(hosts, scoring)
    hosts.link("down")
    time.sleep(1.0)
    hosts.link("up")
    ended(process, scoring)


def test_a_host_comes_back_and_takes_part(hosts: Hosts, tmp_path: Path) -> None:
    scoring = Real(tmp_path, "score --repeats 4 --epochs 16 --slots 2")
    process = begun(hosts, scoring)
    hosts.link("down")
    assert process.stderr is not None
    assert any("is begun again" in line for line in process.stderr)
    hosts.link("up")
    hosts.wait_for(lambda: not hosts.doing(hosts.other, "raylet"))  # it hears that it is dead
    hosts.node()
    hosts.wait_for(lambda: hosts.doing(hosts.other, "Worker.work"))
    ended(process, scoring)
