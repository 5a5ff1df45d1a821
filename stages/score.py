"""score: what each self-edit earned, r = accuracy of LM_θ′ on the held-out questions (paper §3.1).

The unadapted student is examined once per context; each adapter is examined on the same questions,
and a self-edit's reward is the mean accuracy over its adapters (the paper's three seeds). A failed
adapter, answer or verdict makes the reward null, never zero.
"""

import statistics
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from stages.exam import Examination, Examiner, Outcome
from stages.lora import Lora
from stages.records import Adapter, Answer, Context, Question, Reward, SelfEdit, Status, Verdict
from stages.rewards import RULES, rule_of

SEMANTICS = 1


def score(
    self_edits: Sequence[SelfEdit],
    adapters: Iterable[tuple[Adapter, Lora | None]],
    *,
    contexts: Mapping[str, Context],
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
    rule: str = "accuracy",
) -> Iterator[Adapter | Answer | Verdict | Reward]:
    """Adapters, answers and verdicts, then one reward per self-edit.

    `adapters` gives the adapters of these self-edits with their weights; it may train them on the
    way. All of them are held until all are examined, which is done together.
    """
    baselines = yield from unadapted(self_edits, contexts, questions, examiner)
    outcomes: dict[str, list[Outcome]] = {edit.self_edit_id: [] for edit in self_edits}
    for row, outcome in (yield from examined(adapters, contexts, questions, examiner)):
        outcomes[str(row.self_edit_id)].append(outcome)
    for edit in self_edits:
        about = edit.context_id
        yield reward(
            edit,
            baselines[about],
            outcomes[edit.self_edit_id],
            questions[about],
            examiner,
            rule=rule,
        )


def unadapted(
    self_edits: Sequence[SelfEdit],
    contexts: Mapping[str, Context],
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
) -> Generator[Answer | Verdict, None, dict[str, Outcome]]:
    """Examines the unadapted student once per context; returns how it did, by context."""
    asked = list(dict.fromkeys(edit.context_id for edit in self_edits))
    outcomes = yield from examiner.examine([Examination(contexts[i], questions[i]) for i in asked])
    return dict(zip(asked, outcomes, strict=True))


def examined(
    adapters: Iterable[tuple[Adapter, Lora | None]],
    contexts: Mapping[str, Context],
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
) -> Generator[Adapter | Answer | Verdict, None, list[tuple[Adapter, Outcome]]]:
    """Examines adapters, all together; returns each with how it did."""
    pairs = list(adapters)
    yield from (row for row, _ in pairs)
    outcomes = yield from examiner.examine(
        [
            Examination(contexts[row.context_id], questions[row.context_id], row, lora)
            for row, lora in pairs
        ]
    )
    return [(row, outcome) for (row, _), outcome in zip(pairs, outcomes, strict=True)]


def reward(
    edit: SelfEdit,
    baseline: Outcome,
    outcomes: Sequence[Outcome],
    questions: Sequence[Question],
    examiner: Examiner,
    *,
    rule: str = "accuracy",
) -> Reward:
    """The reward of one self-edit from its examinations."""
    rule = rule_of(rule, examiner.domain.REGIME)
    return Reward(
        self_edit_id=edit.self_edit_id,
        context_id=edit.context_id,
        sample=edit.sample,
        policy=edit.policy,
        round=edit.round,
        student=examiner.student,
        grader=examiner.grader.name,
        n_questions=len(questions),
        rule=rule,
        origin="self" if any(question.origin == "self" for question in questions) else "gold",
        **earned(baseline, outcomes, floor=examiner.config.reward_floor, rule=rule),
    )


def earned(
    baseline: Outcome, outcomes: Sequence[Outcome], *, floor: float, rule: str = "accuracy"
) -> dict[str, Any]:
    """What follows from the examinations: the columns of a reward that are numbers, and its status.

    One examination that did not work makes them null; an invalid self-edit earns `floor`. `rule` is
    one of `stages.rewards`; all but accuracy need the unadapted student's.
    """
    bad = next((o for o in outcomes if o.status != "ok"), None)
    if not outcomes:
        bad = Outcome(None, "failed", "it has no adapters")
    if baseline.status == "failed":
        bad = baseline
    if baseline.accuracy is None and rule != "accuracy" and bad is None:
        bad = Outcome(None, "failed", "the unadapted student was not examined")
    scores = [o.accuracy for o in outcomes if o.accuracy is not None]
    status: Status = bad.status if bad else "ok"
    adapted = statistics.fmean(scores) if status == "ok" else None
    gain = None if adapted is None or baseline.accuracy is None else adapted - baseline.accuracy
    return {
        "baseline_accuracy": baseline.accuracy,
        "adapted_accuracy": adapted,
        "adapted_std": statistics.pstdev(scores) if status == "ok" else None,
        "gain": gain,
        "reward": floor if status == "invalid" else _worth(rule, scores, baseline, status),
        "n_repeats": len(scores),
        "status": status,
        "reason": bad.reason if bad else None,
    }


def _worth(rule: str, scores: Sequence[float], baseline: Outcome, status: Status) -> float | None:
    """What the repeats are worth by a rule; nothing when one of them did not work."""
    return None if status == "failed" else RULES[rule](scores, baseline.accuracy or 0.0)
