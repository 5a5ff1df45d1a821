"""`seal loop`: rounds of the six stages and eval, by the same calls and with the same ids.

It owns no artifact and keeps no state: killed and run again, every finished stage is a hit. What a
round is stands in `pipeline.chain`; here is what is asked for, and what is said at the end.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from seal_cli import console
from seal_cli.commands.score import ProbeOption, ProxyOption
from seal_cli.options import StudentOption
from seal_cli.pipeline.chain import Chain, Round, given
from seal_cli.pipeline.import_contexts import import_contexts
from seal_cli.pipeline.models import SHIPPED
from seal_cli.pipeline.resolve import require_local
from seal_cli.pipeline.rewarding import rewarding
from seal_cli.pipeline.splits import AllowOption
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages.config import AdaptConfig, GenerateConfig, LoopConfig, ScoreConfig
from stages.curve import said
from stages.errors import OutOfTime

ContextsOption = Annotated[
    str,
    typer.Option(
        "--contexts",
        help="Contexts artifact to learn from, or tiny or tiny-grids (its train split).",
    ),
]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="Model folder, hub name, update artifact, tiny or tiny-grids "
        "[default: the one that --contexts names, else tiny].",
    ),
]
EvalOption = Annotated[
    str | None,
    typer.Option(
        "--eval-contexts",
        help="Contexts artifact to measure on [default: of tiny its eval split, else the same].",
    ),
]


def loop(
    session: Session,
    contexts: ContextsOption,
    policy: PolicyOption = None,
    student: StudentOption = None,
    eval_contexts: EvalOption = None,
    probe: ProbeOption = None,
    allow_split: AllowOption = None,
    proxy_model: ProxyOption = None,
) -> None:
    """Run rounds of generate, score, filter and update, and measure every policy.

    Settings of the stages come from seal.toml, SEAL_* variables and --set.
    """
    started = time.monotonic()
    require_local(session.resolve(GenerateConfig).engine)  # before a server's model is looked for
    model = session.resolver.model(policy or (contexts if contexts in SHIPPED else "tiny"))
    adapted = session.resolver.model(student) if student else None
    config = session.resolve(LoopConfig, model)
    session = _as_asked(session, config, started)
    resolve = session.resolver
    source, measured = _contexts(session, contexts, eval_contexts)
    other = resolve.artifact(probe, "contexts") if probe else None
    asks = student is not None or other is not None
    reward = rewarding(resolve, "self_edits", proxy=proxy_model is not None, asks=asks)
    judge = resolve.model(proxy_model) if proxy_model else None
    chains = [
        Chain(
            resolve,
            session.run,
            source,
            measured,
            model,
            config,
            reward=reward,
            student=adapted,
            judge=judge,
            probe=other,
            allow_split=allow_split or (),
            prompt=prompt,
        )
        for prompt in config.names or (None,)
    ]
    try:
        _run(chains, config)
    except OutOfTime as spent:
        raise _spent(chains, config, spent) from spent
    _answer(session, chains)


def _as_asked(session: Session, config: LoopConfig, started: float) -> Session:
    """The session with what the loop asks of all its stages: slots, engine, judge, until when."""
    engine = given(engine=config.engine)
    own = {
        AdaptConfig: given(slots=config.slots),
        GenerateConfig: engine,
        ScoreConfig: engine | given(grader=config.grader),
    }
    session = replace(session, flags={**session.flags, **own})
    if config.seconds is None:
        return session
    options = replace(session.options, deadline=started + config.seconds)
    return replace(session, options=options)


def _contexts(session: Session, contexts: str, measured: str | None) -> tuple[Artifact, Artifact]:
    """What is learned from and what is measured on."""
    if contexts in SHIPPED:
        source = session.run(import_contexts([contexts], split="train"))
        if measured is None:
            return source, session.run(import_contexts([contexts], split="eval"))
    else:
        source = session.artifact(contexts, "contexts")
    held_out = session.artifact(measured, "contexts") if measured else source
    if held_out.id == source.id:
        console.say("no --eval-contexts: measuring on contexts that are also learned from.")
    return source, held_out


def _run(chains: Sequence[Chain], config: LoopConfig) -> None:
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
    width = max(len(str(chain.prompt)) for chain in chains)
    n_rounds = max(len(chain.rounds) for chain in chains)
    heading = "".join(f"  round {number}" for number in range(n_rounds))
    lines = [f"{'prompt':<{max(width, 6)}}{heading}  gain"]
    for chain in chains:
        cells = [_cell(chain.rounds[i]) if i < len(chain.rounds) else "" for i in range(n_rounds)]
        gain = chain.rounds[-1].gain
        row = "".join(f"{cell:>9}" for cell in cells)
        lines.append(
            f"{chain.prompt!s:<{max(width, 6)}}{row}  {said(gain) if gain else ''}".rstrip()
        )
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


def _answer(session: Session, chains: Sequence[Chain]) -> None:
    """The last policy of each chain, one a line; or all of their rounds as one JSON object."""
    if not session.as_json:
        for chain in chains:
            console.out(chain.writer.id)
    elif chains[0].prompt is None:
        console.out_json(_summary(chains[0]))
    else:
        console.out_json({"prompts": [{"prompt": c.prompt} | _summary(c) for c in chains]})
    session.check([artifact for chain in chains for artifact in chain.made])


def _summary(chain: Chain) -> dict[str, Any]:
    best = chain.best
    return {
        "policy": chain.writer.id,
        "round": chain.writer.policy.round,
        "metrics": [one.metrics.id for one in chain.rounds],
        "best": None if best is None else _told(best),
        "stopped": chain.stopped,
        "rounds": [_told(one) for one in chain.rounds],
    }


def _told(one: Round) -> dict[str, Any]:
    """A round as JSON has it; gains are paired by context, with their 95 % intervals."""
    told: dict[str, Any] = {
        "number": one.number,
        "policy": one.policy.id,
        "accuracy": one.accuracy,
    }
    if one.gain is not None:
        told |= {"gain": one.gain.value, "gain_low": one.gain.low, "gain_high": one.gain.high}
    return told
