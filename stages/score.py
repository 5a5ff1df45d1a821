"""score: what each self-edit earned, r = accuracy of LM_θ′ on the held-out questions (paper §3.1).

The unadapted student is examined once per context; each adapter is examined on the same questions,
and a self-edit's reward is the mean accuracy over its adapters (the paper's three seeds). A failed
adapter, answer or verdict makes the reward null, never zero.

With a probe, the same adapters are also asked about contexts that no self-edit is about: what they
make the student forget. It changes no reward; `filter` may look at it.
"""

import statistics
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stages.errors import ResourceError
from stages.exam import PROBE, Examination, Examiner, Outcome, mean
from stages.records import Adapter, Answer, Context, Question, Reward, SelfEdit, Status, Verdict
from stages.rewards import REWARDS
from stages.training import Lora

SEMANTICS = 1


@dataclass(frozen=True)
class Probe:
    """What every adapter is asked besides, and how the unadapted student did (a mean of contexts).

    `questions` are by context.
    """

    contexts: Sequence[Context]
    questions: Mapping[str, Sequence[Question]]
    baseline: float

    def examinations(self, one: Examination) -> list[Examination]:
        """What the adapter of an examination is asked besides."""
        asked = ((context, self.questions[context.context_id]) for context in self.contexts)
        return [Examination(*each, one.adapter, one.lora, PROBE) for each in asked]

    def beside(self, reward: Reward, outcomes: Sequence[Outcome]) -> Reward:
        """A reward with what its adapters kept."""
        accuracy = mean_of(outcomes)
        return replace(reward, probe_baseline=self.baseline, probe_accuracy=accuracy)


def score(
    self_edits: Sequence[SelfEdit],
    adapters: Iterable[tuple[Adapter, Lora | None]],
    *,
    contexts: Mapping[str, Context],
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
    rule: str = "accuracy",
    probe: Probe | None = None,
) -> Iterator[Adapter | Answer | Verdict | Reward]:
    """Adapters, answers and verdicts, then one reward per self-edit.

    `adapters` gives the adapters of these self-edits with their weights; it may train them on the
    way. All of them are held until all are examined, which is done together.
    """
    baselines = yield from unadapted(self_edits, contexts, questions, examiner)
    found: dict[str, list[Examined]] = {edit.self_edit_id: [] for edit in self_edits}
    for one in (yield from examined(adapters, contexts, questions, examiner, probe)):
        found[str(one.adapter.self_edit_id)].append(one)
    yield from rewards(self_edits, baselines, found, questions, examiner, rule=rule, probe=probe)


def probe_unadapted(
    contexts: Sequence[Context],
    *,
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
) -> Generator[Answer | Verdict, None, Probe]:
    """Examine the unadapted student on the probe; yields answers and verdicts, returns the probe.

    Raises:
        ResourceError: it could not be examined; nothing can be said about forgetting then.

    """
    probe = Probe(contexts, questions, 0.0)
    asked = [Examination(c, questions[c.context_id], method=PROBE) for c in contexts]
    outcomes = yield from examiner.examine(asked)
    baseline = mean_of(outcomes)
    if baseline is None:
        reason = next((o.reason for o in outcomes if o.reason), "it has no contexts")
        raise ResourceError(
            f"the unadapted student could not be examined on the probe: {reason}.",
            "Run the same command again, or choose another --probe.",
        )
    return replace(probe, baseline=baseline)


def mean_of(outcomes: Sequence[Outcome]) -> float | None:
    """The mean accuracy of examinations; null unless there are some and all of them worked."""
    return mean([outcome.accuracy for outcome in outcomes])


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


@dataclass(frozen=True)
class Examined:
    """An adapter, how it did, and how it did on each context of the probe, where there is one."""

    adapter: Adapter
    outcome: Outcome
    probed: Sequence[Outcome] = ()


def examined(
    adapters: Iterable[tuple[Adapter, Lora | None]],
    contexts: Mapping[str, Context],
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
    probe: Probe | None = None,
) -> Generator[Adapter | Answer | Verdict, None, list[Examined]]:
    """Examines adapters, all together; returns each with how it did."""
    pairs = list(adapters)
    yield from (row for row, _ in pairs)
    own = [
        Examination(contexts[row.context_id], questions[row.context_id], row, lora)
        for row, lora in pairs
    ]
    besides = [too for one in own for too in probe.examinations(one)] if probe else []
    outcomes = yield from examiner.examine(own + besides)
    size = len(probe.contexts) if probe else 0
    probed = [outcomes[len(own) + i * size :][:size] for i in range(len(own))]
    return [
        Examined(row, outcome, kept)
        for (row, _), outcome, kept in zip(pairs, outcomes[: len(own)], probed, strict=True)
    ]


def rewards(
    self_edits: Sequence[SelfEdit],
    baselines: Mapping[str, Outcome],
    found: Mapping[str, Sequence[Examined]],
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
    *,
    rule: str,
    probe: Probe | None,
) -> Iterator[Reward]:
    """One reward per self-edit, in order: `baselines` are by context, `found` by self-edit."""
    for edit in self_edits:
        about = edit.context_id
        yield reward(
            edit,
            baselines[about],
            found[edit.self_edit_id],
            questions[about],
            examiner,
            rule=rule,
            probe=probe,
        )


def reward(
    edit: SelfEdit,
    baseline: Outcome,
    found: Sequence[Examined],
    questions: Sequence[Question],
    examiner: Examiner,
    *,
    rule: str = "accuracy",
    probe: Probe | None = None,
) -> Reward:
    """The reward of one self-edit from the examinations of its adapters."""
    outcomes = [one.outcome for one in found]
    row = Reward(
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
    return probe.beside(row, [outcome for one in found for outcome in one.probed]) if probe else row


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
    if baseline.accuracy is None and REWARDS[rule].needs_unadapted and bad is None:
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
    if status == "failed":
        return None
    worth = REWARDS[rule].rule
    assert worth is not None  # the proxy has no repeats
    return worth(scores, baseline.accuracy or 0.0)
