"""What one process has loaded: models, engines, trainers, graders. Loaded when first needed.

Keys of servers are read here, from the environment alone, and handed to nobody but the engine.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from seal_cli.execution.models import ModelRef
from seal_cli.store.ledger import Ledger
from seal_cli.store.workspace import Workspace
from stages.engines import Access, ChosenEngine, Engine, Seat
from stages.errors import ConfigError
from stages.grading import ChosenGrader, Grader
from stages.grading.judge import JudgeConfig
from stages.identity import digest
from stages.records import Policy
from stages.training import Job, Trained, Trainer

if TYPE_CHECKING:
    from stages.models import LanguageModel
    from stages.training.room import Room

# The first that is set counts.
KEYS = ("SEAL_API_KEY", "OPENAI_API_KEY")
JUDGE_KEYS = ("SEAL_JUDGE_API_KEY", *KEYS)
_SECRET = 6  # characters; what is shorter would be found in every text


class Runtime:
    """The models of one process, and what is built on them."""

    def __init__(
        self, store: Workspace, device: str = "auto", environ: Mapping[str, str] = os.environ
    ) -> None:
        self.store, self.device, self.environ = store, device, environ
        self._models: dict[tuple[str, str], LanguageModel] = {}
        self._merged: dict[str, TemporaryDirectory[str]] = {}
        self._engines: dict[tuple[str, str], Engine] = {}  # the last of a kind for each model

    def folder(self, model: ModelRef) -> Path:
        """Where a model lies. Raises InputError when it is an artifact that is not here."""
        if model.artifact is not None:
            artifact = self.store.artifact(model.artifact)
            (policy,) = artifact.rows(Policy)
            return artifact.weights(str(policy.path))
        assert model.path is not None  # a server's model is nowhere
        return Path(model.path)

    def model(self, model: ModelRef) -> "LanguageModel":
        """The model on this runtime's device: frozen, in evaluation mode."""
        from stages.loading import load
        from stages.models import TOKENIZER

        key = model.id, model.dtype
        if key not in self._models:
            base, adapters = self._parts(model)
            tokens = self.home(model, TOKENIZER)
            self._models[key] = load(base, self.device, model.dtype, model.id, adapters, tokens)
        return self._models[key]

    def _parts(self, model: ModelRef) -> tuple[Path, tuple[Path, ...]]:
        """The folder of the base, and those of the adapters that are folded into it in turn."""
        own = self.folder(model).resolve()
        if model.base is None:
            return own, ()
        base, adapters = self._parts(model.base)
        return base, (*adapters, own)

    def home(self, model: ModelRef, name: str | Path) -> Path:
        """Where a file lies that an adapter may bring itself, else that its base has."""
        base, adapters = self._parts(model)
        return next((a for a in reversed(adapters) if (a / name).is_file()), base)

    def _whole(self, model: ModelRef) -> Path:
        """A folder with all weights of a model, for engines of other processes."""
        if model.base is None:
            return self.folder(model).resolve()
        if model.id not in self._merged:
            folder = self._merged[model.id] = TemporaryDirectory(prefix="seal-merged-")
            loaded = self.model(model)
            loaded.model.save_pretrained(folder.name)
            loaded.tokenizer.save_pretrained(folder.name)
        return Path(self._merged[model.id].name)

    def keep(self, models: Collection[ModelRef]) -> None:
        """Release every model but these, and the engines that answer as another one."""
        from stages.loading import load

        ids = {model.id for model in models}
        if any(key[0] not in ids for key in self._models):
            load.cache_clear()
        self._models = {key: model for key, model in self._models.items() if key[0] in ids}
        self._engines = {key: one for key, one in self._engines.items() if key[1] in ids}
        self._merged = {name: folder for name, folder in self._merged.items() if name in ids}

    def engine(self, chosen: ChosenEngine, model: ModelRef, *, batch: int, rank: int = 0) -> Engine:
        """An engine for a model: `batch` sequences at once, adapters of up to this rank."""
        spec = chosen.entry
        engine = spec.build(
            Seat(
                model_id=model.id,
                name=model.name,
                folder=self._whole(model) if spec.local and not spec.sees_training else None,
                dtype=model.dtype,
                chat=model.chat,
                batch=batch,
                rank=rank,
                load=lambda: self.model(model),
                access=lambda: self._access(model.id, KEYS),
            ),
            chosen.settings,
        )
        self._engines[chosen.name, model.id] = engine
        return engine

    def grader(self, chosen: ChosenGrader) -> Grader:
        """A grader; a judge asks a server."""
        return chosen.build(self._judge)

    def _judge(self, model: str, config: JudgeConfig) -> Engine:
        """An engine that asks a server's model for verdicts."""
        from stages.engines.openai import OpenAIEngine

        access = self._access(endpoint_id(model), JUDGE_KEYS)
        engine = OpenAIEngine(
            model, config, key=access.key, secrets=access.secrets, ledger=access.ledger
        )
        self._engines["judge", model] = engine
        return engine

    def trainer(self, model: ModelRef, slots: int, *, packed: bool = False) -> Trainer:
        """Trains LoRAs on a model, `slots` at once. Engines that hold a GPU rest meanwhile.

        One slot is the reference trainer, or with `packed` one job whose rows go in together.
        """
        from stages.training.batched import BatchedTrainer
        from stages.training.reference import ReferenceTrainer

        loaded = self.model(model)
        plain = slots == 1 and not packed
        trainer = ReferenceTrainer(loaded) if plain else BatchedTrainer(loaded, slots)
        return _Rested(trainer, self.rest)

    def room(self, model: ModelRef, *, rank: int, slots: int | None) -> "Room":
        """How many adapters of a model can be trained at once; `slots` where that is asked for."""
        from stages.models import weight_shapes
        from stages.training.room import room

        self.rest()  # what an engine holds of a GPU is free when training begins
        shapes = weight_shapes(self._parts(model)[0])
        return room(slots, shapes, model.targets, rank, self.device, model.dtype)

    def rest(self) -> None:
        """Let engines that hold a GPU's memory give it away; they wake when they are asked."""
        for engine in self._engines.values():
            engine.rest()

    def usage(self) -> Iterator[str]:
        """What servers were asked since the last call, one line each."""
        yield from filter(None, (engine.used() for engine in self._engines.values()))

    def _access(self, model_id: str, names: Sequence[str]) -> Access:
        """The key for a server (local ones need none), what is secret, and what is known of it.

        Raises:
            ConfigError: a key is not one.

        """
        path = self.store.requests / f"{model_id}.jsonl"
        headers = self.environ.get("OPENAI_CUSTOM_HEADERS", "")
        return Access(_key(names, self.environ), _secrets(headers), Ledger(path))


@dataclass(frozen=True)
class _Rested:
    """A trainer that lets engines rest before it begins."""

    trainer: Trainer
    rest: Callable[[], None]

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        """One result per job, in order."""
        self.rest()
        yield from self.trainer.train(jobs)


def endpoint_id(name: str) -> str:
    """What rows and keys call a model behind a server. Its address may change and is not in it."""
    return f"endpoint-{digest(name)}"


def _key(names: Sequence[str], environ: Mapping[str, str]) -> str | None:
    for name in names:
        key = environ.get(name, "").strip()
        if key:
            if not (key.isascii() and key.isprintable()):
                raise ConfigError(f"{name} is not a key.", "It may hold printable ASCII alone.")
            return key
    return None


def _secrets(headers: str) -> list[str]:
    """The values that the openai library adds to every request: `Name: value` lines."""
    values = (line.partition(":")[2].strip() for line in headers.splitlines())
    return [value for value in values if len(value) >= _SECRET]
