"""A Ray cluster, which this process joins once, or begins on its own machine.

Ray talks on stdout, logs what it is handed and waits for what is not there; here it is told not to.
"""

import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal_cli.execution.manifest import versions
from stages.errors import ConfigError

LOCAL = "local"
EXECUTORS = (LOCAL, "ray")
_PROBE_SECONDS = 5.0
_FACTS_SECONDS = 30.0
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # an empty frame of them: RFC 9113, 3.4 and 6.5
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS
_OBJECTS = 1 << 30  # bytes of the object store of a cluster that is begun here
# Read when Ray is imported. By default it asks a cluster that refuses its token for 20 s.
_PATIENCE = {"RAY_NUM_REDIS_GET_RETRIES": "3", "RAY_gcs_server_request_timeout_seconds": "3"}


@dataclass(frozen=True)
class Workers:
    """How many there are, and what each has; by default one for each GPU, else for each CPU.

    `address` is a cluster's, HOST:PORT; without it that of RAY_ADDRESS, else one is begun here.
    """

    number: int | None = None
    gpus: float | None = None
    cpus: float = 1.0
    address: str | None = None

    def __post_init__(self) -> None:
        for name, value, least in (
            ("--workers", self.number, 1), ("--gpus-per-worker", self.gpus, 0),
            ("--cpus-per-worker", self.cpus, 0),
        ):  # fmt: skip
            if value is not None and not least <= value < float("inf"):
                raise ConfigError(f"{name} {value} is not usable.", f"Give {least} or more.")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Workers | None":
        """Those that settings ask for; null for this process. Raises ConfigError."""
        executor = given.get("executor", EXECUTORS[0])
        if executor not in EXECUTORS:
            known = " or ".join(EXECUTORS)
            raise ConfigError(f"there is no executor {executor!r}.", f"Use {known}.")
        if executor == EXECUTORS[0]:
            for name in given.keys() - {"executor"}:
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{flag} goes with --executor ray.", "Leave it out.")
            return None
        return cls(
            given.get("workers"),
            given.get("gpus_per_worker"),
            given.get("cpus_per_worker", 1.0),
            given.get("ray_address"),
        )


@dataclass(frozen=True)
class Node:
    """A machine of a cluster. `memory` is what Ray gives to actors there, in bytes."""

    host: str
    cpus: float
    gpus: float
    memory: float
    versions: dict[str, str]

    @property
    def fits(self) -> bool:
        """Whether it has what we have, so that rows are the same."""
        return not unequal(self.versions)


class Cluster:
    """This process's place in a cluster. `log` is a file for what Ray says."""

    def __init__(self, wanted: Workers, log: Path) -> None:
        self.wanted, self.log = wanted, log
        self.address = wanted.address or os.environ.get("RAY_ADDRESS") or LOCAL
        self.ray: Any = None
        self.keep_log = False  # what it says is of use
        self._own = False

    @property
    def begun_here(self) -> bool:
        """Whether all of it is on this machine."""
        return self._own and self.address == LOCAL

    def join(self) -> Any:
        """The library, connected. Raises ConfigError where there is no cluster to connect to."""
        if self.ray is not None:
            return self.ray
        ray = imported()
        if not ray.is_initialized():
            # Without an address Ray would take that of a file, which may be of a dead cluster.
            _probe(self.address)
            self._init(ray)
            self._own = True
        self.ray = ray
        return ray

    def _init(self, ray: Any) -> None:
        logger, stopping = logging.getLogger("ray"), signal.getsignal(signal.SIGTERM)
        logger.handlers, logger.propagate = [logging.FileHandler(self.log)], False
        how: dict[str, Any] = {}
        if self.address == LOCAL:
            least = (self.wanted.number or 1) * self.wanted.cpus
            how = {"num_cpus": max(_cores(), int(least + 0.999)), "object_store_memory": _OBJECTS}
        try:
            with self._hushed():
                ray.init(
                    self.address,
                    include_dashboard=False if how else None,
                    log_to_driver=False,
                    configure_logging=False,
                    **how,
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"the Ray cluster at {self.address} cannot be joined: {_line(error)}.",
                "It wants the same versions of Python and Ray, and its token where RAY_AUTH_MODE "
                "is token; this machine must run `ray start --address=...`, too.",
            ) from error
        finally:  # Ray puts a handler of its own
            with suppress(ValueError):  # in another thread there is none to put back
                signal.signal(signal.SIGTERM, stopping)

    @contextmanager
    def _hushed(self) -> Iterator[None]:
        """What Ray's core writes while it connects goes to the log, past Python."""
        kept = os.dup(2)
        with self.log.open("ab") as stream, redirect_stdout(None):
            os.dup2(stream.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(kept, 2)
                os.close(kept)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Ray's news of lost workers and nodes, which are for stdout, go to the log."""
        with self.log.open("a", encoding="utf-8") as stream, redirect_stdout(stream):
            yield

    def leave(self) -> None:
        """Disconnect; a cluster that was begun here ends. After publishing: a dead one may kill."""
        if self._own:
            with self._hushed():
                self.ray.shutdown()
        if not self.keep_log:
            self.log.unlink(missing_ok=True)
        self.ray, self._own = None, False

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are alive; Ray lists dead ones, too."""
        return [node for node in self.join().nodes() if node["Alive"]]

    def facts(self) -> list[Node]:
        """What each node has, and the versions of its packages."""
        from ray.exceptions import RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

        ray, alive = self.join(), self.nodes()
        asked = [
            ray.remote(versions)
            .options(num_cpus=0, max_retries=0, scheduling_strategy=On(node["NodeID"], soft=False))
            .remote()
            for node in alive
        ]
        ray.wait(asked, num_returns=len(asked), timeout=_FACTS_SECONDS)
        found = []
        for node, reference in zip(alive, asked, strict=True):
            try:
                told = ray.get(reference, timeout=0)
            except RayError as error:  # one that does not answer, or has no seal
                told = {"no answer": _line(error)}
            has = node["Resources"]
            host = f"{node['NodeManagerHostname']} {node['NodeManagerAddress']}"
            cpus, gpus, memory = (has.get(name, 0.0) for name in ("CPU", "GPU", "memory"))
            found.append(Node(host, cpus, gpus, memory, told))
        return found

    def staff(self) -> tuple[int, dict[str, float]]:
        """How many workers, and what each asks for. ConfigError: no node has so much."""
        nodes = [node["Resources"] for node in self.nodes()]
        gpus = self.wanted.gpus
        if gpus is None:
            gpus = 1.0 if any(node.get("GPU", 0) >= 1 for node in nodes) else 0.0
        cpus = self.wanted.cpus
        if not any(node.get("GPU", 0) >= gpus and node.get("CPU", 0) >= cpus for node in nodes):
            raise ConfigError(
                f"no node of the cluster has {gpus:g} GPUs and {cpus:g} CPUs for a worker.",
                "Lower --gpus-per-worker or --cpus-per-worker; `seal doctor --ray` lists nodes.",
            )
        ask = {"num_gpus": gpus, "num_cpus": cpus}
        has, per = ("GPU", gpus) if gpus else ("CPU", cpus or 1.0)
        fitting = sum(int(node.get(has, 0) // per) for node in nodes)
        return self.wanted.number or max(1, fitting), ask

    def free(self) -> str:
        """What nobody uses, in words."""
        free = self.join().available_resources()
        return f"{free.get('GPU', 0):g} GPUs and {free.get('CPU', 0):g} CPUs"


def imported() -> Any:
    """Ray. Raises ConfigError where it is not installed."""
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--executor ray needs Ray.", "pip install -c constraints.txt -e '.[ray]'"
        ) from error
    return ray


def unequal(theirs: Mapping[str, str]) -> list[str]:
    """What a node has in another version than we; of what only one has, nothing is used there."""
    ours = versions()
    if "seal" not in theirs:
        return ["seal"]
    return sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])


def _probe(address: str) -> None:
    """Raise ConfigError within seconds where nobody listens: Ray itself would try for a minute."""
    if address == LOCAL:
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise ConfigError(
            f"{address!r} is not a cluster's address.", "Write HOST:PORT as `ray start` prints it."
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS) as connection:
            connection.sendall(_HELLO)  # gRPC is HTTP/2: a server answers with its settings
            if connection.recv(9)[3:4] != _SETTINGS[3:4]:
                raise OSError("what listens there is no cluster")
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {address}: {_line(error)}.",
            "Begin one with `ray start --head`, correct --ray-address or RAY_ADDRESS, or leave "
            "both out to begin one here.",
        ) from error


def _cores() -> int:
    own = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if own else os.cpu_count() or 1


def _line(error: BaseException) -> str:
    """An error's first line."""
    text = str(error).strip().splitlines()
    return text[0].rstrip(".:") if text else type(error).__name__
