"""The RL loop: a chain of rounds (`pipeline.chain`) for each prompt. It owns no artifact."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from seal_cli import console
from seal_cli.pipeline.chain import Chain, Round, Run, given
from seal_cli.pipeline.import_contexts import import_contexts
from seal_cli.pipeline.models import SHIPPED
from seal_cli.pipeline.resolve import Resolver, require_local
from seal_cli.pipeline.rewarding import rewarding
from seal_cli.settings import Takes
from seal_cli.store.artifact import Artifact
from stages.config import AdaptConfig, GenerateConfig, LoopConfig, RewardConfig, ScoreConfig
from stages.curve import said
from stages.errors import OutOfTime
from stages.grading.judge import JudgeConfig

TAKES = Takes(LoopConfig, RewardConfig, JudgeConfig, spreads=True)


def loop(
    resolve: Resolver,
    run: Run,
    contexts: str,
    policy: str | None = None,
    *,
    student: str | None = None,
    eval_contexts: str | None = None,
    probe: str | None = None,
    proxy_model: str | None = None,
    allow_split: Sequence[str] = (),
) -> list[Chain]:
    """Make the rounds. Raises OutOfTime when the budget is spent; the same call goes on then."""
    started = time.monotonic()
    engine = resolve.config(LoopConfig).engine or resolve.config(GenerateConfig).engine
    require_local(engine)  # before a server's model is looked for
    model = resolve.model(policy or (contexts if contexts in SHIPPED else "tiny"))
    adapted = resolve.model(student) if student else None
    config = resolve.config(LoopConfig, model)
    resolve = _as_asked(resolve, config)
    if config.seconds is not None:
        run = partial(run, deadline=started + config.seconds)
    source, measured = _contexts(resolve, run, contexts, eval_contexts)
    other = resolve.artifact(probe, "contexts") if probe else None
    asks = student is not None or other is not None
    reward = rewarding(resolve, "self_edits", proxy=proxy_model is not None, asks=asks)
    judge = resolve.model(proxy_model) if proxy_model else None
    chains = [
        Chain(
            resolve,
            run,
            source,
            measured,
            model,
            config,
            reward=reward,
            student=adapted,
            judge=judge,
            probe=other,
            allow_split=allow_split,
            prompt=prompt,
        )
        for prompt in config.names or (None,)
    ]
    try:
        _rounds(chains, config)
    except OutOfTime as spent:
        raise _spent(chains, config, spent) from spent
    return chains


def _as_asked(resolve: Resolver, config: LoopConfig) -> Resolver:
    """With what the loop asks of all its stages: slots, engine, grader."""
    engine = given(engine=config.engine)
    own = {
        AdaptConfig: given(slots=config.slots),
        GenerateConfig: engine,
        ScoreConfig: engine | given(grader=config.grader),
    }
    return replace(resolve, flags={**resolve.flags, **own})


def _contexts(
    resolve: Resolver, run: Run, contexts: str, measured: str | None
) -> tuple[Artifact, Artifact]:
    """What is learned from and what is measured on."""
    if contexts in SHIPPED:
        source = run(import_contexts([contexts], split="train"))
        if measured is None:
            return source, run(import_contexts([contexts], split="eval"))
    else:
        source = resolve.artifact(contexts, "contexts")
    held_out = resolve.artifact(measured, "contexts") if measured else source
    if held_out.id == source.id:
        console.say("no --eval-contexts: measuring on contexts that are also learned from.")
    return source, held_out


def _rounds(chains: Sequence[Chain], config: LoopConfig) -> None:
    """All chains round by round, so that they can be compared after each."""
    for chain in chains:
        chain.check()
    for chain in chains:
        chain.begin()
    for _ in range(config.rounds):
        going_on = [chain for chain in chains if chain.stopped is None]
        for chain in going_on:
            chain.go_on()
            if chain.stopped is not None:
                console.say(f"{chain.label}{chain.stopped}: the loop ends here.")
        if len(chains) > 1 and going_on:
            for line in _table(chains):
                console.say(line)


def _table(chains: Sequence[Chain]) -> list[str]:
    """Accuracy by prompt and round, and the gain of each prompt's last round since its first."""
    width = max(6, *(len(str(chain.prompt)) for chain in chains))
    n_rounds = max(len(chain.rounds) for chain in chains)
    heading = "".join(f"  round {number}" for number in range(n_rounds))
    lines = [f"{'prompt':<{width}}{heading}  gain"]
    for chain in chains:
        row = "".join(f"{_cell(one):>9}" for one in chain.rounds).ljust(9 * n_rounds)
        gain = chain.rounds[-1].gain
        lines.append(f"{chain.prompt!s:<{width}}{row}  {said(gain) if gain else ''}".rstrip())
    return lines


def _cell(one: Round) -> str:
    return "-" if one.accuracy is None else f"{one.accuracy:.3f}"


def _spent(chains: Sequence[Chain], config: LoopConfig, spent: OutOfTime) -> OutOfTime:
    """What was under way when the time was spent, and what is left to do."""
    left = [
        f"{chain.label}{max(len(chain.rounds) - 1, 0)} of {config.rounds} rounds done, "
        f"policy {chain.writer.id}"
        for chain in chains
    ]
    return OutOfTime(
        f"the budget of {config.budget} ran out: {spent.message} So far: {'; '.join(left)}.",
        spent.hint,
    )
