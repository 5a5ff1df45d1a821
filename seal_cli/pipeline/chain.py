"""One chain of rounds of the RL loop: generate, score, filter, update and eval, by their specs.

A chain owns no artifact and keeps no state on disk: run again, every finished stage is a hit and
the same rounds come out.
"""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import Any

from seal_cli import console
from seal_cli.execution.spec import StageSpec
from seal_cli.pipeline import filter as filtering
from seal_cli.pipeline import score, update
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.eval import evaluate
from seal_cli.pipeline.generate import Generate, writing
from seal_cli.pipeline.models import LocalModel
from seal_cli.pipeline.probe import ChosenProbe
from seal_cli.pipeline.proxy import Proxy, proxy
from seal_cli.pipeline.resolve import Resolver
from seal_cli.pipeline.rewarding import refuse_race_of_one
from seal_cli.pipeline.splits import refuse_evaluation
from seal_cli.store import index
from seal_cli.store.artifact import Artifact
from stages.config import AdaptConfig, GenerateConfig, LoopConfig, RewardConfig, ScoreConfig
from stages.curve import Gain, best, said, settled
from stages.records import Metric, Selection

# Of two evaluations, over the contexts that both have: what the second has more.
_PAIRED = """
    SELECT avg(gain), mean_low(gain), mean_high(gain), count(gain)
    FROM (SELECT y.accuracy - x.accuracy AS gain
          FROM accuracies x JOIN accuracies y USING (context_id, grader, method)
          WHERE x.artifact_id = $before AND y.artifact_id = $after
            AND method = 'self-edits' AND grader = $grader)"""
_SECONDS = 600.0  # for this query

Run = Callable[..., Artifact]  # of a spec; besides, a check before it is run and a deadline


@dataclass(frozen=True)
class Round:
    """A policy as it was measured; round 0 is the one that the loop began with."""

    number: int
    policy: LocalModel
    metrics: Artifact
    accuracy: float | None
    gain: Gain | None = None  # since round 0
    step: Gain | None = None  # over the best round before

    def told(self) -> dict[str, Any]:
        """As JSON has it; gains are paired by context, with their 95 % intervals."""
        told = {"number": self.number, "policy": self.policy.id, "accuracy": self.accuracy}
        if self.gain is None:
            return told
        gain = {"gain": self.gain.value, "gain_low": self.gain.low, "gain_high": self.gain.high}
        return told | gain


@dataclass
class Chain:
    """The rounds of one loop, made one at a time."""

    resolve: Resolver
    run: Run
    source: Artifact
    measured: Artifact
    writer: LocalModel  # the policy that is trained
    config: LoopConfig
    _: KW_ONLY
    reward: RewardConfig
    student: LocalModel | None = None  # is adapted and examined; else the policy itself is
    judge: LocalModel | None = None  # gives the proxy reward
    probe: Artifact | None = None  # the student is examined on these contexts, too
    allow_split: Sequence[str] = ()
    prompt: str | None = None
    rounds: list[Round] = field(default_factory=list)
    made: list[Artifact] = field(default_factory=list)
    stopped: str | None = None  # why there are no more rounds

    def __post_init__(self) -> None:
        if self.prompt is not None:
            how = {**self.resolve.flags.get(GenerateConfig, {}), "prompt": self.prompt}
            flags = {**self.resolve.flags, GenerateConfig: how}
            self.resolve = replace(self.resolve, flags=flags)

    def check(self) -> None:
        """Raise for a prompt or a probe that will not do, before any work is done."""
        config = self.resolve.config(GenerateConfig, self.writer)
        contexts = ContextSet(self.source)
        writing(self.resolve, self.writer, contexts, config)
        refuse_race_of_one(self.reward, self._adapting())
        if self.probe is not None:
            learned = contexts.slice(self.config.rounds * self.config.limit, 0)
            limit = self.resolve.config(ScoreConfig, self.student or self.writer).probe_limit
            probe = ChosenProbe(self.probe.id, limit)
            probe.check(self.resolve.store, contexts, learned)
            probe.warn(self.resolve.store)

    def begin(self) -> None:
        """Measure the policy that the loop begins with."""
        self.rounds.append(self._measure())

    def go_on(self) -> None:
        """One round more: write, score, choose, learn and measure."""
        number = len(self.rounds)
        console.say(
            f"{self.label}round {number} of {self.config.rounds}: "
            f"{self.writer.policy.name} ({self.writer.id})"
        )
        learned = self._learn(number - 1)
        if learned is None:
            self.stopped = f"{self.made[-1].id} keeps no self-edit"
            return
        self.writer = self.resolve.model(learned.id)
        self.extend()

    def extend(self) -> None:
        """Measure the policy as one round more, and end the chain when the curve says so."""
        self.rounds.append(self._measure())
        gains = [one.step for one in self.rounds if one.step is not None]
        self.stopped = settled(gains, self.config.patience)

    @property
    def label(self) -> str:
        """What a line of talk begins with where there are several chains."""
        return f"{self.prompt}: " if self.prompt is not None else ""

    @property
    def best(self) -> Round | None:
        """The round with the highest accuracy; None when none could be measured."""
        number = best([one.accuracy for one in self.rounds])
        return None if number is None else self.rounds[number]

    def told(self) -> dict[str, Any]:
        """As JSON has it: the policy it ended with, its rounds, and the best of them."""
        best = self.best
        return {
            "policy": self.writer.id,
            "round": self.writer.policy.round,
            "metrics": [one.metrics.id for one in self.rounds],
            "best": None if best is None else best.told(),
            "stopped": self.stopped,
            "rounds": [one.told() for one in self.rounds],
        }

    def _learn(self, number: int) -> Artifact | None:
        """The next policy from the next contexts; None when the filter kept nothing."""
        seed = given(seed=self.config.seed)
        how = self._how(number)
        # `update` checks what is kept; hours are saved by not working towards what it would refuse.
        ahead = ContextSet(self.source).slice(how.limit, how.offset)
        check = partial(refuse_evaluation, self.resolve.store, ahead, self.allow_split)
        edits = self._run(self._writing(how), check)
        rewards = self._run(self._scoring(edits), check)
        selection = self._run(filtering.filter(self.resolve, rewards.id, self.writer))
        if not any(row.kept for row in selection.rows(Selection)):
            return None
        return self._run(
            update.update(self.resolve, selection.id, allow_split=self.allow_split, **seed)
        )

    def _how(self, number: int) -> GenerateConfig:
        """How the next contexts are written about, taken in order and wrapping around."""
        n_contexts = len(ContextSet(self.source).contexts)
        return replace(
            self.resolve.config(GenerateConfig, self.writer),
            limit=self.config.limit,
            offset=number * self.config.limit % n_contexts,
            **given(seed=self.config.seed, samples=self.config.samples),
        )

    def _writing(self, how: GenerateConfig) -> Generate:
        known = ContextSet(self.source)
        return Generate(
            contexts=self.source.id,
            writing=writing(self.resolve, self.writer, known, how),
            rank=self._adapting().rank,
        )

    def _scoring(self, edits: Artifact) -> score.Score | Proxy:
        if self.judge is not None:
            return proxy(self.resolve, edits, self.judge, self.reward)
        student = self.student or self.writer
        return score.score_self_edits(
            self.resolve, edits, student, self._adapting(), self.reward, probe=self.probe
        )

    def _adapting(self) -> AdaptConfig:
        return replace(
            self.resolve.config(AdaptConfig, self.student or self.writer),
            **given(seed=self.config.seed, repeats=self.config.repeats),
        )

    def _run(self, spec: StageSpec, check: Callable[[], None] = lambda: None) -> Artifact:
        self.made.append(self.run(spec, check))
        return self.made[-1]

    def _measure(self) -> Round:
        """Evaluate the policy, and say its accuracy and what it gained."""
        own = given(limit=self.config.eval_limit, seed=self.config.seed)
        spec = evaluate(self.resolve, self.measured, self.writer, self.student, **own)
        metrics = self._run(spec)
        rows = metrics.rows(Metric)
        for row in rows:
            if row.metric == "accuracy" and row.value is not None:
                console.say(self.label + _line(row))
        known = [r for r in rows if (r.method, r.metric) == ("self-edits", "accuracy")]
        accuracy = known[0].value if known else None
        found = Round(len(self.rounds), self.writer, metrics, accuracy)
        return self._compared(found, str(known[0].grader)) if known and self.rounds else found

    def _compared(self, now: Round, grader: str) -> Round:
        """A round with its gains over round 0 and over the best round before it."""
        gain = self._gain(self.rounds[0], now, grader)
        before = self.best or self.rounds[0]
        step = gain if before is self.rounds[0] else self._gain(before, now, grader)
        line = f"{self.label}round {now.number} gained {said(gain)} since round 0"
        if before is not self.rounds[0]:
            line += f", {said(step)} over round {before.number}"
        console.say(f"{line}, paired over {gain.n} contexts")
        return replace(now, gain=gain, step=step)

    def _gain(self, before: Round, after: Round, grader: str) -> Gain:
        parameters = {"before": before.metrics.id, "after": after.metrics.id, "grader": grader}
        for one in (before, after):  # a query would leave it out, and the curve end here
            one.metrics.prove_tables()
        with index.sandbox(self.resolve.store, seconds=_SECONDS, query=_PAIRED) as connection:
            row = connection.execute(_PAIRED, parameters).fetchone()
        assert row is not None  # an aggregate has one
        return Gain(*row)


def given(**values: int | str | None) -> dict[str, Any]:
    """The settings that the loop was given; of the others the stages have their own."""
    return {name: value for name, value in values.items() if value is not None}


def _line(row: Metric) -> str:
    """One accuracy with its interval; one context has none."""
    interval = "[no interval]"
    if row.ci_low is not None and row.ci_high is not None:
        interval = f"[{row.ci_low:.3f}, {row.ci_high:.3f}]"
    failed = f", {row.n_failed} failed" if row.n_failed else ""
    return (
        f"round {row.round} {row.method:<13} {row.value:.3f} {interval} on {row.n} contexts{failed}"
    )
