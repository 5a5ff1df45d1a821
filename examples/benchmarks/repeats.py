"""What racing would have saved and cost, on the recorded runs of stored rewards.

    python examples/benchmarks/repeats.py STORE REWARDS… [--json] [--plot FILE.svg]

`recorded.py` says how runs are replayed; `curve.py` draws the figure.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from curve import curve
from recorded import Recorded, Replayed, replay

from seal_cli import console
from seal_cli.options import JsonOption
from seal_cli.pipeline.bench import facts, processor
from seal_cli.pipeline.contexts import group
from seal_cli.pipeline.regrade import answers_of
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.errors import InputError
from stages.records import Answer, Reward, Verdict

StoreArg = Annotated[Path, typer.Argument(help="The store's folder.")]
RewardsArg = Annotated[
    list[str],
    typer.Argument(metavar="REWARDS…", help="Rewards with several repeats: ids, @latest:score."),
]
ResamplesOption = Annotated[
    int, typer.Option("--resamples", min=1, help="Orders of the runs drawn per context.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the orders.")]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", help="Also draw the curve into this SVG file.")
]


def repeats(
    store: StoreArg,
    rewards: RewardsArg,
    resamples: ResamplesOption = 100,
    seed: SeedOption = 0,
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay recorded runs as racing would have given them out: runs saved against regret."""
    if plot is not None:
        console.check_folder(plot)
    workspace = Workspace(store)
    found = [workspace.artifact(workspace.resolve(reference)) for reference in rewards]
    contexts = [one for artifact in found for one in _recorded(workspace, artifact)]
    n_runs = {len(runs) for one in contexts for runs in one.runs.values()}
    if len(n_runs) != 1:
        raise InputError(
            f"these rewards have {sorted(n_runs)} runs for each self-edit.",
            "Give rewards with as many each, and replay the others by themselves.",
        )
    results = list(replay(contexts, resamples=resamples, seed=seed))
    if plot is not None:
        console.save(curve(results), plot)
        console.say(f"written to {plot}.")
    if as_json:
        answer = facts(processor()) | {
            "rewards": [artifact.id for artifact in found],
            "contexts": len(contexts),
            "self_edits": sum(len(one.runs) for one in contexts),
            "runs": n_runs.pop(),
            "resamples": resamples,
            "results": [asdict(result) for result in results],
        }
        console.out_json(answer)
    else:
        console.out_columns(_HEADINGS, list(map(_cells, results)), right=_HEADINGS[1:])


def _recorded(workspace: Workspace, artifact: Artifact) -> Iterator[Recorded]:
    """The contexts of rewards that can be raced in: two self-edits or more with all their runs.

    Raises:
        InputError: no rewards, no answers behind them, or never more than one run.

    """
    if artifact.kind != "rewards":
        raise InputError(f"{artifact.id} holds {artifact.kind}, not rewards.", "See `seal ls`.")
    stored = [reward for reward in artifact.rows(Reward) if reward.status == "ok"]
    runs = _runs(answers_of(workspace, artifact).rows(Answer), artifact.rows(Verdict))
    longest = max((len(runs[reward.self_edit_id]) for reward in stored), default=0)
    if longest < 2:
        raise InputError(
            f"{artifact.id} has {longest} run for each self-edit.",
            "Score with --repeats 2 or more, without --racing.",
        )
    for rewards in group(stored).values():
        in_order = sorted(rewards, key=lambda reward: reward.sample)
        whole = [r for r in in_order if len(runs[r.self_edit_id]) == longest and r.n_questions]
        if len(whole) > 1:
            found = {reward.self_edit_id: runs[reward.self_edit_id] for reward in whole}
            yield Recorded(found, int(whole[0].n_questions or 0))


def _runs(answers: Sequence[Answer], verdicts: Sequence[Verdict]) -> dict[str, list[float]]:
    """Self-edit -> accuracy of each of its runs that was judged."""
    correct = {verdict.answer_id: verdict.correct for verdict in verdicts}
    judged: defaultdict[tuple[str, int], list[bool | None]] = defaultdict(list)
    for answer in answers:
        if answer.self_edit_id is not None and answer.scope == "own":
            judged[answer.self_edit_id, answer.repeat].append(correct.get(answer.answer_id))
    runs: defaultdict[str, list[float]] = defaultdict(list)
    for (self_edit_id, _), marks in sorted(judged.items()):
        if None not in marks:
            runs[self_edit_id].append(sum(map(bool, marks)) / len(marks))
    return runs


_HEADINGS = (
    "policy", "runs saved", "regret", "95 %", "same choice", "saved, 1 held out", "true reward",
    "less than all", "95 % of it",
)  # fmt: skip


def _cells(result: Replayed) -> list[str]:
    return [
        result.policy,
        f"{result.saved:.1%}",
        f"{result.regret:.4f}",
        _interval(result.regret_low, result.regret_high),
        f"{result.same_choice:.1%}",
        "-" if result.held_out_saved is None else f"{result.held_out_saved:.1%}",
        "-" if result.held_out_reward is None else f"{result.held_out_reward:.4f}",
        "-" if result.held_out_regret is None else f"{result.held_out_regret:+.4f}",
        _interval(result.held_out_low, result.held_out_high),
    ]


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "-"
    return f"[{round(low, 4) + 0.0:+.4f}, {round(high, 4) + 0.0:+.4f}]"  # no minus zero


if __name__ == "__main__":
    typer.run(repeats)
