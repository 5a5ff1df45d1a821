"""score: what each self-edit earned, r = accuracy of LM_θ′ on the held-out questions (paper §3.1).

The unadapted student is examined once per context; each adapter is examined on the same questions,
and a self-edit's reward is the mean accuracy over its adapters (the paper's three seeds). A failed
adapter, answer or verdict makes the reward null, never zero.

With a probe, the same adapters are also asked about contexts that no self-edit is about: what they
make the student forget. It changes no reward; `filter` may look at it.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.exam import Examination, Examiner, Outcome, mean_of, rows_of, wearing
from stages.probe import Probe
from stages.records import Adapter, Context, Question, Record, Reward, SelfEdit, Status
from stages.rewards import REWARDS
from stages.training import Lora

SEMANTICS = 1


@dataclass(frozen=True)
class Trial:
    """How one adapter did, and how it did on each context of the probe, where there is one."""

    outcome: Outcome
    probed: Sequence[Outcome]


@dataclass(frozen=True)
class Scoring:
    """By what self-edits are scored: questions by context, who asks them, the rule, the probe."""

    contexts: Mapping[str, Context]
    questions: Mapping[str, Sequence[Question]]
    examiner: Examiner
    rule: str = "accuracy"
    probe: Probe | None = None

    def score(
        self, self_edits: Sequence[SelfEdit], adapters: Iterable[tuple[Adapter, Lora | None]]
    ) -> list[Record]:
        """Adapters, answers and verdicts, then one reward per self-edit.

        `adapters` gives the adapters of these self-edits with their weights; it may train them on
        the way. All of them are held until all are examined, which is done together.
        """
        asked, baselines = self.unadapted(self_edits)
        examined, trials = self.adapted(adapters)
        return [*asked, *examined, *self.rewards(self_edits, baselines, trials)]

    def unadapted(self, self_edits: Sequence[SelfEdit]) -> tuple[list[Record], dict[str, Outcome]]:
        """The unadapted student, examined once per context: its rows, and how it did on each."""
        about = list(dict.fromkeys(edit.context_id for edit in self_edits))
        examined = self.examiner.examine(
            [Examination(self.contexts[i], self.questions[i]) for i in about]
        )
        outcomes = (one.outcome for one in examined)
        return rows_of(examined), dict(zip(about, outcomes, strict=True))

    def adapted(
        self, adapters: Iterable[tuple[Adapter, Lora | None]]
    ) -> tuple[list[Record], dict[str, list[Trial]]]:
        """Adapters, examined all together: rows, and how those of each self-edit did."""
        pairs = list(adapters)
        exams = wearing(pairs, self.contexts.values(), self.questions)
        size = 0
        if self.probe is not None:
            size = len(self.probe.contexts)
            for row, lora in pairs:
                exams += self.probe.examinations(row.context_id, row, lora)
        examined = self.examiner.examine(exams)
        outcomes = [one.outcome for one in examined]
        trials: defaultdict[str, list[Trial]] = defaultdict(list)
        for i, (row, _) in enumerate(pairs):
            probed = outcomes[len(pairs) + i * size :][:size]
            trials[str(row.self_edit_id)].append(Trial(outcomes[i], probed))
        return [*(row for row, _ in pairs), *rows_of(examined)], trials

    def rewards(
        self,
        self_edits: Sequence[SelfEdit],
        baselines: Mapping[str, Outcome],
        trials: Mapping[str, Sequence[Trial]],
    ) -> list[Reward]:
        """One reward per self-edit, in order: `baselines` by context, `trials` by self-edit."""
        return [
            self._reward(edit, baselines[edit.context_id], trials.get(edit.self_edit_id, ()))
            for edit in self_edits
        ]

    def _reward(self, edit: SelfEdit, baseline: Outcome, trials: Sequence[Trial]) -> Reward:
        asked, outcomes = self.questions[edit.context_id], [trial.outcome for trial in trials]
        floor = self.examiner.config.reward_floor
        kept = mean_of([outcome for trial in trials for outcome in trial.probed])
        return Reward(
            self_edit_id=edit.self_edit_id,
            context_id=edit.context_id,
            sample=edit.sample,
            policy=edit.policy,
            round=edit.round,
            student=self.examiner.student,
            grader=self.examiner.grader.name,
            n_questions=len(asked),
            rule=self.rule,
            origin="self" if any(question.origin == "self" for question in asked) else "gold",
            probe_baseline=self.probe.baseline() if self.probe else None,
            probe_accuracy=kept,
            **earned(baseline, outcomes, floor=floor, rule=self.rule),
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
