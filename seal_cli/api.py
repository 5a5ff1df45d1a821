"""The runs of the shell from Python: `Seal(store)` has a verb for each, with the same ids.

    from seal_cli.api import Seal

    seal = Seal("seal-store")
    contexts = seal.import_contexts("tiny", split="train", limit=8)
    edits = seal.generate(contexts, policy="tiny", samples=5)
    rewards = seal.score(edits, repeats=1)
    rewards.pandas().sort_values("reward")

A setting is a keyword with the name of its flag: `--max-tokens 64` is `max_tokens=64`; so are
`force`, `wait`, `retry_failed`, `shard` and `merge_only`. Errors are those of `stages.errors`.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from seal_cli import console
from seal_cli.execution.attempt import RunOptions
from seal_cli.execution.cluster import Cluster, Node, Workers
from seal_cli.execution.local import Local
from seal_cli.execution.runner import Runner
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.shards import Shard
from seal_cli.execution.spec import StageSpec
from seal_cli.pipeline import (
    adapt,
    filter,  # noqa: A004  # the stage's name
    generate,
    import_contexts,
    import_official,
    loop,
    quiz,
    regrade,
    score,
    update,
)
from seal_cli.pipeline import eval as evaluate
from seal_cli.pipeline.models import folder_of
from seal_cli.pipeline.resolve import Resolver, require_local
from seal_cli.results import Imported, Made, Result, Rounds, Table, reasons
from seal_cli.settings import SPREAD, Settings, Takes
from seal_cli.sharing import Sharing
from seal_cli.store.artifact import Artifact
from seal_cli.store.query import check_complete, fetch, require
from seal_cli.store.workspace import store_at
from stages.config import GenerateConfig
from stages.fields import Config

if TYPE_CHECKING:
    from seal_cli.execution.ray import Ray

Reference = str | PathLike[str] | Made  # an id, a prefix, @latest:<stage>; a model; or a result


class Seal:
    """A store, settings, and the models that this process has loaded.

    `config` is a settings file, or what one holds: section -> settings. `environ` is an environment
    that may have SEAL_* variables and the keys of servers, such as `os.environ`. What is not given
    is not read; a model's own seal.toml applies as in the shell. `argv` is the command line that
    manifests name: none where it is another program's, which may have secrets in its own.
    `remote` is the URL of a place whose artifacts count as here, and where runs are pushed to.
    """

    def __init__(
        self,
        store: str | PathLike[str],
        config: str | PathLike[str] | Mapping[str, Mapping[str, Any]] | Settings | None = None,
        *,
        preset: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        environ: Mapping[str, str] | None = None,
        argv: Sequence[str] = (),
        remote: str | None = None,
    ) -> None:
        self.store, self.environ = store_at(Path(store)), environ or {}
        self.device, self.dtype, self.argv = device, dtype, tuple(argv)
        if not isinstance(config, Settings):
            config = Settings(config, (), self.environ, preset)
        self.settings = config
        self.remote = Sharing(self.store, remote) if remote else None
        self.store.beyond = self.remote
        self._ray: Ray | None = None

    def import_contexts(
        self,
        paths: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        domain: str | None = None,
        split: str | None = None,
        limit: int | None = None,
        only: str | Sequence[str] | None = None,
        **settings: Any,
    ) -> Result:
        """Passages with questions, or tasks; `only` are titles or ids, in a text with commas."""
        several = [paths] if isinstance(paths, str | PathLike) else paths
        _, run = self._begin(import_contexts.TAKES, settings)
        spec = import_contexts.import_contexts(
            [str(path) for path in several], domain=domain, split=split, limit=limit, only=only
        )
        return Result(run(spec))

    def import_official(self, directory: str | PathLike[str], **settings: Any) -> Imported:
        """The released SEAL data and results, an artifact for each file."""
        _, run = self._begin(import_official.TAKES, settings)
        return Imported(*import_official.import_official(Path(directory), run))

    def quiz(self, contexts: Reference, policy: Reference, **settings: Any) -> Result:
        """Contexts with questions that the policy wrote; what was dropped is in `drafts`."""
        made = self.run(quiz.TAKES, quiz.quiz, settings, contexts, policy)
        console.say(quiz.said(made.artifact))
        return made

    def generate(self, contexts: Reference, policy: Reference, **settings: Any) -> Result:
        """Self-edits of contexts, written by the policy or by a server's model."""
        return self.run(generate.TAKES, generate.generate, settings, contexts, policy)

    def adapt(
        self, self_edits: Reference, *, student: Reference | None = None, **settings: Any
    ) -> Result:
        """One LoRA for each self-edit and repeat, kept."""
        return self.run(adapt.TAKES, adapt.adapt, settings, self_edits, student=student)

    def score(
        self,
        source: Reference,
        *,
        student: Reference | None = None,
        questions: Reference | None = None,
        probe: Reference | None = None,
        proxy_model: Reference | None = None,
        **settings: Any,
    ) -> Result:
        """Answers, verdicts and rewards, of adapters or of self-edits."""
        names = {"student": student, "questions": questions, "probe": probe}
        names |= {"proxy_model": proxy_model}
        return self.run(score.TAKES, score.score, settings, source, **names)

    def filter(
        self, rewards: Reference, *, export: str | PathLike[str] | None = None, **settings: Any
    ) -> Result:
        """The self-edits that earned it; `export`: also as prompt/completion JSON lines."""
        if export is not None:
            console.check_folder(Path(export))
        made = self.run(filter.TAKES, filter.filter, settings, rewards)
        if export is not None:
            filter.export(self.store, made.artifact, Path(export))
        return made

    def update(
        self,
        selection: Reference,
        *,
        policy: Reference | None = None,
        replay_from: Reference | Sequence[Reference] = (),
        replay_contexts: Reference | None = None,
        allow_split: str | Sequence[str] = (),
        **settings: Any,
    ) -> Result:
        """The next policy: the one that wrote the selection, or `policy`, finetuned on it."""
        names = {"policy": policy, "replay_contexts": replay_contexts}
        several = {"replay_from": _texts(replay_from), "allow_split": _texts(allow_split)}
        return self.run(update.TAKES, update.update, settings, selection, **names, **several)

    def eval(
        self,
        policy: Reference,
        contexts: Reference,
        *,
        student: Reference | None = None,
        probe: Reference | None = None,
        **settings: Any,
    ) -> Result:
        """Metrics of a policy that adapts itself, or a student, to contexts."""
        resolve, run = self._begin(evaluate.TAKES, settings)
        source = resolve.artifact(str(contexts), "contexts")
        probed = resolve.artifact(str(probe), "contexts") if probe else None
        require_local(resolve.config(GenerateConfig).engine)  # before a model is looked for
        model = resolve.model(str(policy))
        adapted = resolve.model(str(student)) if student else None
        return Result(run(evaluate.evaluate(resolve, source, model, adapted, probed)))

    def regrade(self, source: Reference, grader: str, **settings: Any) -> Result:
        """Stored answers of rewards or metrics under another grader; no model is run."""
        return self.run(regrade.TAKES, regrade.regrade, settings, source, grader)

    def loop(
        self,
        contexts: Reference,
        policy: Reference | None = None,
        *,
        student: Reference | None = None,
        eval_contexts: Reference | None = None,
        probe: Reference | None = None,
        proxy_model: Reference | None = None,
        allow_split: str | Sequence[str] = (),
        **settings: Any,
    ) -> Rounds:
        """Rounds of generate, score, filter, update and eval. Settings of stages are `config`'s."""
        resolve, run = self._begin(loop.TAKES, settings)
        names = {"policy": policy, "student": student, "eval_contexts": eval_contexts}
        names |= {"probe": probe, "proxy_model": proxy_model}
        given = _ids(**names, allow_split=_texts(allow_split))
        return Rounds(loop.loop(resolve, run, str(contexts), **given))

    def sql(self, query: str, *, timeout: float = 60.0, **parameters: Any) -> Table:
        """The rows of a read-only query over the store; `$name` in it is a parameter.

        Raises InputError, after the rows that are whole were found, where a table is damaged.
        """
        require(self.store)
        given = {k: str(v) if isinstance(v, Made) else v for k, v in parameters.items()}
        self.store.missed.clear()
        rows = fetch(self.store, query, timeout, given)
        check_complete(self.store)
        return Table(f"{rows.num_rows} rows", rows)

    def artifact(self, reference: Reference) -> Result:
        """An artifact of the store: by its id, a prefix of it, or @latest:<stage>."""
        return Result(self.store.artifact(self.store.resolve(str(reference))))

    def push(
        self,
        references: Reference | Sequence[Reference],
        url: str,
        *,
        models: bool = False,
        **how: bool,
    ) -> None:
        """Send artifacts and what they were made from to another place; base models if asked.

        `closure`, `weights` and `repair` are those of `Sharing.push`.
        """
        ids = [self.store.resolve(one) for one in _texts(references)]
        find = partial(folder_of, self.store) if models else None
        Sharing(self.store, url).push(ids, models=find, **how)

    def pull(self, references: Reference | Sequence[Reference], url: str, **how: bool) -> Made:
        """Fetch artifacts and what they were made from, by their ids; as `Sharing.pull`."""
        ids = _texts(references)
        Sharing(self.store, url).pull(ids, **how)
        return Made([self.store.artifact(one) for one in ids])

    def run(
        self,
        takes: Takes,
        build: Callable[..., StageSpec],
        settings: Mapping[str, Any],
        *sources: Reference,
        **names: Reference | Sequence[str] | None,
    ) -> Result:
        """The run that `build(resolver, *sources, **names)` plans, of a stage of one's own, too."""
        resolve, run = self._begin(takes, settings)
        return Result(run(build(resolve, *map(str, sources), **_ids(**names))))

    def resolver(self, flags: Mapping[type[Config], Mapping[str, Any]] | None = None) -> Resolver:
        """Names, files and settings -> what specs hold."""
        return Resolver(self.store, self.settings, flags or {}, self.dtype, self.environ)

    @cached_property
    def runtime(self) -> Runtime:
        """What this process has loaded."""
        return Runtime(self.store, self.device, self.environ)

    def close(self) -> None:
        """Leave the Ray cluster that runs went to, if any did."""
        if self._ray is not None:
            self._ray.close()
            self._ray = None

    def _spread(self, workers: Workers) -> "Ray":
        """The workers of a cluster; joining takes seconds, so they stay until others are wanted."""
        from seal_cli.execution.ray import Ray

        if self._ray is None or self._ray.cluster.wanted != workers:
            self.close()
            self.store.create()
            log = self.store.work / f"ray-{os.getpid()}.tmp"
            self._ray = Ray(self.store, Cluster(workers, log), self.device)
        return self._ray

    def _begin(
        self, takes: Takes, settings: Mapping[str, Any]
    ) -> tuple[Resolver, Callable[..., Artifact]]:
        """What builds a spec from names and settings, and what runs it."""
        given = {name: value for name, value in settings.items() if value is not None}
        how = {name: given.pop(name) for name in takes.how if name in given}
        if "shard" in how:
            how["shard"] = Shard.of(how["shard"])
        workers = Workers.of({name: how.pop(name) for name in SPREAD if name in how})
        run = partial(self._run, RunOptions(**how, argv=self.argv), workers)
        return self.resolver(takes.flags(given)), run

    def _run(
        self,
        options: RunOptions,
        workers: Workers | None,
        spec: StageSpec,
        check: Callable[[], None] = lambda: None,
        deadline: float | None = None,
    ) -> Artifact:
        """The artifact of a spec; what servers were asked and what failed is said."""
        options = replace(options, deadline=deadline)
        ray = None if workers is None or spec.HERE else self._spread(workers)
        executor = ray or Local(self.runtime, self.store)
        with ray.cluster.quiet() if ray else nullcontext():
            artifact = Runner(self.store, executor, options).run(spec, check)
        if self.remote:
            self.remote.share(artifact.id)
        for said in self.runtime.usage():
            console.say(said)
        if artifact.n_failed:
            retry = "; --retry-failed runs them again" if spec.models() else ""
            console.say(f"{artifact.id}: {artifact.n_failed} failed rows{retry}.")
            for reason, n in reasons(artifact):
                console.say(f"  {n} x {reason}")
        return artifact


def nodes(address: str | None = None) -> list[Node]:
    """The nodes of a Ray cluster, and what they have. Raises ConfigError where there is none."""
    with TemporaryDirectory() as folder:
        cluster = Cluster(Workers(address=address), Path(folder) / "log")
        try:
            with cluster.quiet():
                return cluster.facts()
        finally:
            cluster.leave()


def _texts(given: Reference | Sequence[Reference]) -> list[str]:
    """Several references as text; one may be given by itself."""
    return list(map(str, [given] if isinstance(given, str | PathLike | Made) else given))


def _ids(**references: Reference | Sequence[str] | None) -> dict[str, Any]:
    """As the shell would have them."""
    return {k: str(v) if isinstance(v, PathLike | Made) else v for k, v in references.items()}
