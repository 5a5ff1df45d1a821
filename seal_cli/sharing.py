"""A store and a place elsewhere: what `push`, `pull` and `--remote` do, and say."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from seal_cli import console, signals
from seal_cli.store.artifact import Artifact
from seal_cli.store.files import MANIFEST, read_json
from seal_cli.store.identity import model_files
from seal_cli.store.publish import entry
from seal_cli.store.remote.address import parsed, reach
from seal_cli.store.remote.closure import closure
from seal_cli.store.remote.inspect import Inspection
from seal_cli.store.remote.models import fetch_model, send_model
from seal_cli.store.remote.place import Place
from seal_cli.store.remote.pull import Fetching, fetch, wanted
from seal_cli.store.remote.pull import look as to_fetch
from seal_cli.store.remote.push import Sending, send
from seal_cli.store.remote.push import look as to_send
from seal_cli.store.workspace import Workspace

# A model's id and what a manifest says of it -> its folder; null for one that cannot be sent.
FindModel = Callable[[str, dict[str, str]], Path | None]


class Sharing:
    """A store beside a place that others use too. Nothing is reached before it is needed."""

    def __init__(self, store: Workspace, url: str) -> None:
        self.store, self.url = store, str(parsed(url))
        self._shared: set[str] = set()  # artifacts of which the place has everything

    @cached_property
    def place(self) -> Place:
        """Where it is. Raises ConfigError or ResourceError."""
        return Place(reach(self.url), self.url)

    def push(
        self,
        ids: Sequence[str],
        *,
        closure: bool = True,
        weights: bool = True,
        models: FindModel | None = None,
        repair: bool = False,
    ) -> None:
        """Send artifacts and what they were made from, inputs first.

        `models` gives the folder of a base model that is to be sent, too.

        Raises:
            InputError: one of them is not here or not whole.

        """
        every = self._made_from(ids) if closure else [*dict.fromkeys(ids)]
        artifacts = [self.store.artifact(one) for one in every]
        if models:
            self._send_models(artifacts, models)
        looked = [
            to_send(self.place, artifact, weights=weights, repair=repair, moved=_heard)
            for artifact in artifacts
        ]
        files = self._send(looked)
        there = sum(one.nothing for one in looked)
        console.say(
            f"{self.url}: {len(looked) - there} artifacts sent in {files} files, "
            f"{there} were there."
        )

    def share(self, artifact_id: str) -> None:
        """Send what a run made or found, and what it was made from, unless it is there."""

        def inputs(one: str) -> list[str]:
            if one in self._shared or self.place.pointer(one) is not None:
                self._shared.add(one)
                return []  # inputs come first: they are there
            return self.store.artifact(one).inputs

        every = [one for one in closure(inputs, [artifact_id]) if one not in self._shared]
        self._send([to_send(self.place, self.store.artifact(one)) for one in every])
        self._shared.update(every)

    def pull(
        self,
        ids: Sequence[str],
        *,
        closure: bool = True,
        weights: bool = True,
        models: bool = False,
        repair: bool = False,
    ) -> None:
        """Fetch artifacts and what they were made from, inputs first; base models if asked.

        Raises:
            InputError: one of them is not there, or not as it was: nothing of it is published.

        """
        every = self._wanted(ids) if closure else [*dict.fromkeys(ids)]
        looked = [self._look(one, weights=weights, repair=repair) for one in every]
        files = self._fetch(looked)
        if models:
            self._fetch_models([self.store.artifact(one) for one in every])
        come = sum(one is not None for one in looked)
        console.say(
            f"{self.url}: {come} artifacts fetched in {files} files, {len(every) - come} were here."
        )

    def bring(self, artifact_id: str, *, weights: bool = False) -> bool:
        """Fetch an artifact with what it was made from; false where it is not there.

        Weights of what it was made from come when they are asked for.
        """
        if self.place.pointer(artifact_id) is None:
            return False
        every = self._wanted([artifact_id])
        self._fetch([self._look(one, weights=weights and one == artifact_id) for one in every])
        self._shared.update(every)
        return True

    def bring_weights(self, artifact_id: str) -> None:
        """Fetch the weights that an artifact is without here, as far as they are there."""
        there = self.place.find(artifact_id)
        if there is not None and there.pointer == read_json(
            self.store.path(artifact_id) / MANIFEST
        ):
            self._fetch([self._look(artifact_id)])

    def bring_shards(self, artifact_id: str) -> None:
        """Fetch the shards of a run that are there and not here."""
        shards = self.place.shards(artifact_id)
        self._fetch([self._look(one) for one in shards])

    def inspection(self) -> Inspection:
        """What reads again what is there."""
        return Inspection(self.place, _heard)

    def _send_models(self, artifacts: Sequence[Artifact], find: FindModel) -> None:
        """The weights that these were made with."""
        for model, place in _models(artifacts).items():
            folder = find(model, place)
            if folder is None:
                console.say(
                    f"{model} ({place.get('name')}) comes with seal, or on another: not sent."
                )
                continue
            entries = {name: entry(f.resolve()) for name, f in model_files(folder).items()}
            total = sum(int(one["bytes"]) for one in entries.values())
            with console.transfer(f"push {place.get('name')}", total) as advance:
                send_model(self.place, model, folder, entries, _checked(advance))

    def _fetch_models(self, artifacts: Sequence[Artifact]) -> None:
        """The same from there, as far as they are there."""
        for model, place in _models(artifacts).items():
            with console.transfer(f"pull {place['name']}", 0) as advance:
                if fetch_model(self.place, self.store, model, _checked(advance)):
                    console.say(f"{model} ({place['name']}) is in {self.store.models}.")

    def _made_from(self, ids: Sequence[str]) -> list[str]:
        return closure(lambda one: self.store.artifact(one).inputs, ids)

    def _wanted(self, ids: Sequence[str]) -> list[str]:
        return wanted(self.place, self.store, ids)

    def _look(
        self, artifact_id: str, *, weights: bool = True, repair: bool = False
    ) -> Fetching | None:
        return to_fetch(self.place, self.store, artifact_id, weights=weights, repair=repair)

    def _send(self, looked: Sequence[Sending]) -> int:
        """Send what is not there; how many files that were."""
        wanted = [one for one in looked if not one.nothing]
        lost = [one.artifact.id for one in looked if one.other]
        with console.transfer("push", sum(one.bytes for one in wanted)) as advance:
            for one in wanted:
                if not send(self.place, one, _checked(advance)):
                    lost.append(one.artifact.id)
            names = self.place.transport.done([one.artifact for one in wanted]) if wanted else ()
            lost += [name.split("/")[-2] for name in names]
        for artifact_id in lost:
            console.say(f"{artifact_id} is there as another run of the same key made it; it stays.")
        return sum(len(one.files) for one in wanted)

    def _fetch(self, looked: Sequence[Fetching | None]) -> int:
        """Fetch what is not here; how many files had to come."""
        wanted = [one for one in looked if one is not None]
        threads = self.place.transport.threads
        sizes = [one.left(self.store) for one in wanted]
        with console.transfer("pull", sum(map(sum, sizes))) as advance:
            for one in wanted:
                fetch(self.store, one, threads, _checked(advance))
        return sum(map(len, sizes))


def _models(artifacts: Sequence[Artifact]) -> dict[str, dict[str, str]]:
    """Models that no update of ours made and that have weights: id -> where they were."""
    found = {m: p for artifact in artifacts for m, p in artifact.manifest["models"].items()}
    return {model: place for model, place in found.items() if model.startswith("model-")}


def _heard(_: int) -> None:
    """Bytes that no progress is told of; a signal ends them all the same."""
    signals.check()


def _checked(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Progress from other threads, in which a signal raises nothing by itself."""

    def moved(n: int) -> None:
        signals.check()
        advance(n)

    return moved
