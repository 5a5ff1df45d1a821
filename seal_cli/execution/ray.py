"""The executor that works on a Ray cluster: Ray Core, and a loop of our own.

Actors work batches off, with `max_restarts=0`; this process alone writes the journal, so whatever
ends it, the same command goes on. An actor that dies gives its batch back, three times.
"""

import os
import pickle
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from seal_cli import console, signals
from seal_cli.execution.cluster import Cluster, unequal
from seal_cli.execution.depot import PLACE, Depot
from seal_cli.execution.key import parts_of
from seal_cli.execution.manifest import versions
from seal_cli.execution.node import Home, Sent, Worker
from seal_cli.execution.spec import Batch, Done, Job, Plan, StageSpec
from seal_cli.store.workspace import Workspace
from stages.engines import ChosenEngine
from stages.errors import ConfigError, ResourceError
from stages.grading import ChosenGrader
from stages.records import Record

DEATHS = 3  # of actors under one batch, or while they start
_TICK = 1.0  # seconds between looks at our own signals
_PATIENCE = 30.0  # seconds without a worker before that is said
_SHARES = 4  # batches for each worker, at least: the last ones end at about the same time


@dataclass
class Call:
    """Something an actor is asked for."""

    method: str
    arguments: tuple[Any, ...]
    name: str
    batch: Batch | None = None


@dataclass
class Actor:
    """A worker somewhere. It gets no call before its `ready` was answered."""

    handle: Any
    reference: Any  # of what it was asked last; null when it has nothing to do
    call: Call | None = None
    ready: bool = False


class Ray:
    """Works batches off on the workers of a cluster."""

    SEVERAL = True

    def __init__(self, store: Workspace, cluster: Cluster, device: str) -> None:
        self.store, self.cluster, self.device = store, cluster, device
        self.ray: Any = None
        self.actors: list[Actor] = []
        self.number, self.ask = 0, dict[str, float]()
        self.depot: Any = None

    def plan(self, spec: StageSpec) -> Plan:
        """How a worker cuts the spec, and so that there is a share for each of them.

        Raises:
            ConfigError: no cluster can be joined, or it asks a server to write: one process does.

        """
        engines = [e.name for e in parts_of(spec, ChosenEngine) if not e.entry.local]
        for name in (*engines, *(g.name for g in parts_of(spec, ChosenGrader) if g.location)):
            raise ConfigError(
                f"--executor ray is not for {name}: a server is asked by one process, whose key "
                "stays here.",
                "Leave it out; stored answers are judged later with `seal regrade`.",
            )
        self._join()
        call = Call("plan", (pickle.dumps(spec),), spec.STAGE)
        (plan,) = self._each([call], lambda _, found: found)
        n_items = len(dict.fromkeys(spec.phases(self.store)[0]))
        share = -(-n_items // (_SHARES * self.number))
        # A worker's slots are full with an eighth of what it would take at once (room.py).
        return Plan(max(min(plan.batch, share), -(-plan.batch // 8)), plan.slots)

    def run(
        self, spec: StageSpec, job: Job, batches: Sequence[Batch], made: Sequence[Record]
    ) -> Generator[Done, None, None]:
        """Work off the batches of one phase, in the order in which they are done."""
        self._join()
        shutil.rmtree(job.scratch, ignore_errors=True)
        packed, rows = self.ray.put(pickle.dumps(spec)), self.ray.put(list(made))
        calls = [
            Call("work", (packed, job.artifact_id, job.plan, batch, rows), batch.name, batch)
            for batch in batches
        ]
        yield from self._each(calls, partial(self._fetched, job))

    def close(self) -> None:
        """Leave the cluster; its actors end with that."""
        self.actors, self.depot, self.ray = [], None, None
        self.cluster.leave()

    def _join(self) -> None:
        """Connect once, and let the workers start."""
        if self.ray is not None:
            return
        self.ray = self.cluster.join()
        self.number, self.ask = self.cluster.staff()
        # Workers of a cluster that is begun here see the store, unless they are told another.
        if not self.cluster.begun_here or PLACE in os.environ:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

            beside = On(self.ray.get_runtime_context().get_node_id(), soft=False)
            how = {"num_cpus": 0, "max_concurrency": 8, "scheduling_strategy": beside}
            self.depot = self.ray.remote(Depot).options(**how).remote(self.store.root)

    def _each(
        self, calls: Sequence[Call], take: Callable[[Call, Any], Any]
    ) -> Generator[Any, None, None]:
        """What becomes of each call, by `take` of its result, in any order.

        Raises:
            ResourceError: actors keep dying.

        """
        from ray.exceptions import RayError, RayTaskError

        waiting, deaths, left = deque(calls), Counter[str](), len(calls)
        silent = time.monotonic()
        try:
            while left:
                self._hand_out(waiting)
                actor = self._next()
                if not any(one.ready for one in self.actors):
                    silent = self._complain(silent)
                if actor is None:
                    continue
                call, reference = actor.call, actor.reference
                actor.call = actor.reference = None
                try:
                    found = self.ray.get(reference)
                    if call is None:
                        self._welcome(actor, *found)
                        continue
                    self._hand_out(waiting)  # it works on while its files are fetched
                    found = take(call, found)
                except RayTaskError as error:  # the work itself failed, as it would have here
                    raise (error.cause or error) from error
                except RayError as error:  # a lost actor or node, or what it held
                    self._bury(actor)
                    name = "start" if call is None else call.name
                    deaths[name] += 1
                    again = "another is started" if call is None else f"{name} is begun again"
                    console.say(f"a worker died: {_reason(error)}; {again}.")
                    if deaths[name] >= DEATHS:
                        raise self._given_up(name, error) from error
                    if actor.call is not None:  # handed to it meanwhile
                        waiting.appendleft(actor.call)
                    if call is not None:
                        waiting.appendleft(call)
                    continue
                left -= 1
                yield found
        finally:
            for actor in [one for one in self.actors if one.call is not None]:
                self._bury(actor)  # what it would still make nobody waits for

    def _hand_out(self, waiting: deque[Call]) -> None:
        """Work for whoever has none, and actors in the place of those that died."""
        while len(self.actors) < self.number:
            make = self.ray.remote(Worker).options(max_restarts=0, max_task_retries=0, **self.ask)
            handle = make.remote(Home.of(self.store.root), self.device, self.depot)
            self.actors.append(Actor(handle, handle.ready.remote()))
        for actor in self.actors:
            if waiting and actor.ready and actor.reference is None:
                actor.call = waiting.popleft()
                method = getattr(actor.handle, actor.call.method)
                actor.reference = method.remote(*actor.call.arguments)

    def _next(self) -> Actor | None:
        """An actor that has answered, or null after a moment."""
        asked = {one.reference: one for one in self.actors if one.reference is not None}
        try:
            done, _ = self.ray.wait(list(asked), num_returns=1, timeout=_TICK)
        except SystemError:  # what Ray's core makes of a signal's exception
            signals.check()
            raise
        signals.check()
        return asked[done[0]] if done else None

    def _welcome(self, actor: Actor, host: str, theirs: dict[str, str]) -> None:
        """An actor that can begin. Raises ConfigError where it runs other versions than we do."""
        actor.ready = True
        for name in unequal(theirs):
            raise ConfigError(
                f"{host} has {name} {theirs[name]}, and this machine {versions()[name]}: its rows "
                "would not be the same.",
                "Install the same versions; `seal doctor --ray` lists them.",
            )

    def _bury(self, actor: Actor) -> None:
        """Do without an actor. One that cannot be reached may live, and hold a GPU."""
        self.actors.remove(actor)
        self.ray.kill(actor.handle)

    def _complain(self, since: float) -> float:
        """Say once that no worker has room; Ray itself would wait in silence, for ever."""
        if time.monotonic() - since < _PATIENCE:
            return since
        ask = f"{self.ask['num_gpus']:g} GPUs and {self.ask['num_cpus']:g} CPUs"
        console.say(
            f"no worker has started yet: each asks for {ask}, free are {self.cluster.free()}; "
            "waiting."
        )
        return float("inf")

    def _given_up(self, name: str, error: Exception) -> ResourceError:
        self.cluster.keep_log = True
        what = "while they started" if name == "start" else f"under {name}"
        return ResourceError(
            f"{DEATHS} workers died {what}: {_reason(error)}.",
            f"See {self.cluster.log} and Ray's logs; memory is the usual cause. Finished batches "
            "are kept.",
        )

    def _fetched(self, job: Job, call: Call, sent: Sent) -> Done:
        """A finished batch, with its files in the scratch folder of this machine."""
        assert call.batch is not None
        for name, parts in sent.files.items():
            path = job.scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                for part in parts:
                    stream.write(self.ray.get(part))
        return Done(call.batch, sent.rows, tuple(sent.files))


def _reason(error: Exception) -> str:
    """The first line that says something of what Ray says."""
    with suppress(IndexError):
        return str(error).strip().splitlines()[0].rstrip(".:")
    return type(error).__name__
