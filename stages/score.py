"""score: what each self-edit earned, r = accuracy of LM_θ′ on the held-out questions (paper §3.1).

The unadapted student is examined once per context; each adapter is examined on the same questions,
and a self-edit's reward is the mean accuracy over its adapters (the paper's three seeds). A failed
adapter, answer or verdict makes the reward null, never zero.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stages.exam import Examination, Examiner, Outcome
from stages.lora import Lora
from stages.records import Adapter, Answer, Context, Question, Reward, SelfEdit, Status, Verdict

SEMANTICS = 1


def score(
    self_edits: Sequence[SelfEdit],
    adapters: Iterable[tuple[Adapter, Lora | None]],
    *,
    contexts: Mapping[str, Context],
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
) -> Iterator[Adapter | Answer | Verdict | Reward]:
    """Adapters, answers and verdicts, then one reward per self-edit.

    `adapters` gives the adapters of these self-edits with their weights; it may train them on the
    way. All of them are held until all are examined, which is done together.
    """
    asked = list(dict.fromkeys(edit.context_id for edit in self_edits))
    unadapted = yield from examiner.examine([Examination(contexts[i], questions[i]) for i in asked])
    baselines = dict(zip(asked, unadapted, strict=True))
    examinations = [
        Examination(contexts[row.context_id], questions[row.context_id], row, lora)
        for row, lora in adapters
    ]
    outcomes: dict[str, list[Outcome]] = {edit.self_edit_id: [] for edit in self_edits}
    rows = [one.adapter for one in examinations if one.adapter is not None]
    yield from rows
    adapted = yield from examiner.examine(examinations)
    for row, outcome in zip(rows, adapted, strict=True):
        outcomes[str(row.self_edit_id)].append(outcome)
    for edit in self_edits:
        n_questions = len(questions[edit.context_id])
        yield reward(
            edit, baselines[edit.context_id], outcomes[edit.self_edit_id], n_questions, examiner
        )


def reward(
    edit: SelfEdit,
    baseline: Outcome,
    outcomes: Sequence[Outcome],
    n_questions: int,
    examiner: Examiner,
) -> Reward:
    """The reward of one self-edit from its examinations."""
    return Reward(
        self_edit_id=edit.self_edit_id,
        context_id=edit.context_id,
        sample=edit.sample,
        policy=edit.policy,
        round=edit.round,
        student=examiner.student,
        grader=examiner.grader.name,
        n_questions=n_questions,
        **earned(baseline, outcomes, floor=examiner.config.reward_floor),
    )


def earned(baseline: Outcome, outcomes: Sequence[Outcome], *, floor: float) -> dict[str, Any]:
    """What follows from the examinations: the columns of a reward that are numbers, and its status.

    One examination that did not work makes them null; an invalid self-edit earns `floor`.
    """
    bad = next((o for o in outcomes if o.status != "ok"), None)
    if not outcomes:
        bad = Outcome(None, "failed", "it has no adapters")
    if baseline.status == "failed":
        bad = baseline
    scores = [o.accuracy for o in outcomes if o.accuracy is not None]
    status: Status = bad.status if bad else "ok"
    adapted = statistics.fmean(scores) if status == "ok" else None
    gain = None if adapted is None or baseline.accuracy is None else adapted - baseline.accuracy
    return {
        "baseline_accuracy": baseline.accuracy,
        "adapted_accuracy": adapted,
        "adapted_std": statistics.pstdev(scores) if status == "ok" else None,
        "gain": gain,
        "reward": floor if status == "invalid" else adapted,
        "n_repeats": len(scores),
        "status": status,
        "reason": bad.reason if bad else None,
    }
