"""Ray clusters of several raylets on this machine; one that is far has a store of its own."""

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real import Real

MARK = "SEAL_TEST_CLUSTER"  # in the environment of every process of ours
for name, value in {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", MARK: uuid.uuid4().hex}.items():
    os.environ[name] = value
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


class Machines:
    """Nodes of the cluster that come and go."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.flags = f"--executor ray --ray-address {cluster.address}"
        self.nodes: list[Any] = []

    def node(self, cpus: int = 2, *, far: bool = False, **environ: str) -> Any:
        """A node; a far one is not to see the driver's store."""
        if far:
            environ["SEAL_NODE_STORE"] = str(self.store)
        self.nodes.append(self.cluster.add_node(num_cpus=cpus, env_vars=environ))
        return self.nodes[-1]

    @property
    def store(self) -> Path:
        return self.folder / "node-store"

    def remove(self, node: Any, *, graceful: bool = True) -> None:
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=graceful)

    @property
    def workers(self) -> dict[int, str]:
        """The processes of actors, with what they are doing."""
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                title = (place / "cmdline").read_bytes().rstrip(b"\0 ").decode()
                ours = os.environ[MARK].encode() in (place / "environ").read_bytes()
            except OSError:  # it has ended
                continue
            if ours and title.startswith("ray::Worker"):
                found[int(place.name)] = title
        return found

    def wait_for(self, what: Callable[[], Any], seconds: float = 60.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)
        return found

    def kill(self, doing: str) -> None:
        """End an actor that is doing this, at once."""
        pid = self.wait_for(lambda: [p for p, at in self.workers.items() if doing in at])[0]
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head that works nothing off; it notices within seconds that a node is gone."""
    pytest.importorskip("ray", reason="Ray is not installed: make test-machines")
    from ray.cluster_utils import Cluster

    quick = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": quick}
    made = Cluster(initialize_head=True, head_node_args=head)
    yield made
    made.shutdown()


@pytest.fixture
def machines(cluster: Any, tmp_path: Path) -> Iterator[Machines]:
    made = Machines(cluster, tmp_path)
    yield made
    for node in list(made.nodes):
        made.remove(node)


@pytest.fixture
def scoring(tmp_path: Path) -> Real:
    return Real(tmp_path, "score --repeats 2 --epochs 4 --slots 2")


@pytest.fixture
def training(tmp_path: Path) -> Real:
    return Real(tmp_path, "adapt --repeats 2 --epochs 4 --slots 2")
