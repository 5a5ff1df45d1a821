"""eval: how well a policy adapts itself, against none and the passage alone (paper Table 2).

The `single` regime: one context, one adapter, questions without the passage in view. Numbers are
means over contexts of each context's accuracy (the paper's macro average) with 95 % intervals over
contexts (`stages.interval`); the gain over the unadapted model is paired by context.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from stages.exam import Examination, Examiner, rows_of, wearing
from stages.interval import interval
from stages.probe import Probe
from stages.records import (
    Adapter,
    Answer,
    Context,
    Metric,
    Policy,
    Question,
    Record,
    SelfEdit,
    Verdict,
)
from stages.training import Lora

SEMANTICS = 3
METHODS = ("unadapted", "passage-only", "self-edits")
SHARES = ("accuracy", "success", "probe_accuracy")  # metrics between 0 and 1

Regime = Literal["single", "cpt", "continual", "fewshot"]
Adapters = Iterable[tuple[Adapter, Lora | None]]
Shares = defaultdict[str, defaultdict[str, list[float | None]]]


def evaluate(
    contexts: Sequence[Context],
    *,
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
    write: Callable[[Sequence[Context]], Iterable[SelfEdit]],
    adapt: Callable[[Sequence[SelfEdit]], Adapters],
    adapt_to_passages: Callable[[Sequence[Context]], Adapters],
    probe: Probe | None = None,
) -> list[Record]:
    """Self-edits, adapters, answers and verdicts of the three methods, these contexts together.

    The collaborators are the stages themselves: `write` is generate, `adapt` is adapt. With a
    `probe`, the adapters' rows say what became of it.
    """
    edits = list(write(contexts))
    adapted = [*adapt_to_passages(contexts), *adapt(edits)]
    if probe is not None:
        adapted = list(zip(probe.measured(adapted), (lora for _, lora in adapted), strict=True))
    unadapted = [Examination(context, questions[context.context_id]) for context in contexts]
    asked = unadapted + wearing(adapted, contexts, questions)
    return [*edits, *(row for row, _ in adapted), *rows_of(examiner.examine(asked))]


@dataclass(frozen=True)
class Measured:
    """What the metrics of one evaluation have in common."""

    policy: Policy
    dataset: str
    regime: Regime
    grader: str

    def metric(
        self,
        method: str,
        name: str,
        values: Sequence[float],
        *,
        weights: Sequence[float] | None = None,
        n_questions: int | None,
        n_failed: int,
        n: int | None = None,
        step: int | None = None,
        position: int | None = None,
    ) -> Metric:
        """The mean of `values` with its interval; null when there are none."""
        value, low, high = interval(values, weights, share=name in SHARES)
        return Metric(
            policy=self.policy.policy,
            round=self.policy.round,
            dataset=self.dataset,
            regime=self.regime,
            method=method,
            step=step,
            position=position,
            metric=name,
            value=value,
            ci_low=low,
            ci_high=high,
            n=len(values) if n is None else n,
            n_questions=n_questions,
            n_failed=n_failed,
            grader=self.grader,
        )


def summarise(
    records: Iterable[Record],
    *,
    questions: Mapping[str, Sequence[Question]],
    measured: Measured,
    methods: Sequence[str] = METHODS,
) -> Iterator[Metric]:
    """Accuracy of each method and its gain over the first of them, with 95 % intervals.

    Only the verdicts of its grader count; others may stand beside them. `questions` are those that
    were asked about each context. A context counts for a method only when every examination of it
    worked; `n` says how many did and `n_failed` how many did not. An invalid self-edit answers
    nothing right. In the regime `cpt` (one adapter for all contexts) means go over questions, and
    so does `n`; the intervals are over contexts all the same. In the regime `fewshot` there is
    also `success`, the share of tasks all of whose tests are right (the paper's measure, Table 1),
    and its gain.
    """
    regime = measured.regime
    shares = _shares(records, questions, measured.grader)
    kinds = {("accuracy", "gain"): _means(shares)}
    if regime == "fewshot":
        kinds["success", "success_gain"] = _means(shares, whole=True)
    for method in methods:
        values: dict[str, dict[str, float]] = {}
        for (name, gain), scores in kinds.items():
            cells, untrained = scores[method], scores[methods[0]]
            values[name] = cells
            if method != methods[0]:
                values[gain] = {k: cells[k] - untrained[k] for k in cells if k in untrained}
        for metric, found in values.items():
            counted = [key for key in questions if key in found]
            asked = [len(questions[key]) for key in counted]
            yield measured.metric(
                method,
                metric,
                [found[key] for key in counted],
                weights=asked if regime == "cpt" else None,
                n=sum(asked) if regime == "cpt" else len(counted),
                n_questions=sum(asked),
                n_failed=len(questions) - len(counted),
            )


def probed(adapters: Sequence[Adapter], measured: Measured) -> Iterator[Metric]:
    """What became of the probe, by method: means over contexts of the adapters that were trained.

    A context counts when every adapter of it was asked. The unadapted model is one and the same for
    all, so its accuracy has no interval.
    """
    first = next((row for row in adapters if row.probe_change is not None), None)
    if first is not None:
        assert first.probe_accuracy is not None
        assert first.probe_change is not None
        before = first.probe_accuracy - first.probe_change
        yield measured.metric("unadapted", "probe_accuracy", [before], n_questions=None, n_failed=0)
    for method in METHODS[1:]:
        for name in ("probe_accuracy", "probe_change", "probe_kl"):
            found: defaultdict[str | None, list[float | None]] = defaultdict(list)
            for row in adapters:
                if row.method == method and row.status != "invalid":
                    found[row.context_id].append(getattr(row, name))
            values = [
                statistics.fmean(known)
                for of_context in found.values()
                if len(known := [v for v in of_context if v is not None]) == len(of_context)
            ]
            yield measured.metric(
                method, name, values, n_questions=None, n_failed=len(found) - len(values)
            )


class Given(NamedTuple):
    """Of an answer what its accuracy follows from."""

    answer_id: str
    question_id: str


def _shares(
    records: Iterable[Record], questions: Mapping[str, Sequence[Question]], grader: str
) -> Shares:
    """Method -> context -> the share of right answers of each examination, null where it failed."""
    examined: defaultdict[tuple[str, str, str | None, int], list[Given]] = defaultdict(list)
    correct: dict[str, bool | None] = {}
    trained: list[tuple[str, str, str, float | None]] = []
    for row in records:
        if isinstance(row, Answer):
            key = row.method, row.context_id, row.adapter_id, row.repeat
            examined[key].append(Given(row.answer_id, row.question_id))
        elif isinstance(row, Verdict) and row.grader == grader:
            correct[row.answer_id] = row.correct
        elif isinstance(row, Adapter) and row.context_id is not None:
            share = 0.0 if row.status == "invalid" else None  # unless it has answers
            trained.append((row.adapter_id, row.method, row.context_id, share))
    shares: Shares = defaultdict(lambda: defaultdict(list))
    for (method, context_id, *_), given in examined.items():
        share = accuracy_of(given, correct, len(questions.get(context_id, ())))
        shares[method][context_id].append(share)
    with_answers = {adapter_id for _, _, adapter_id, _ in examined}
    for adapter_id, method, context_id, share in trained:
        if adapter_id not in with_answers:
            shares[method][context_id].append(share)
    return shares


def _means(shares: Shares, *, whole: bool = False) -> defaultdict[str, dict[str, float]]:
    """Method -> context -> mean accuracy over its examinations, complete contexts only.

    With `whole` an examination is worth 1 when all is right and 0 otherwise.
    """
    means: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for method, by_context in shares.items():
        for context_id, found in by_context.items():
            known = [float(v == 1) if whole else v for v in found if v is not None]
            if len(known) == len(found):
                means[method][context_id] = statistics.fmean(known)
    return means


def accuracy_of(
    answers: Sequence[Answer | Given], correct: Mapping[str, bool | None], n_questions: int
) -> float | None:
    """Share of correct answers; null unless every question was answered and judged."""
    judged = [correct.get(answer.answer_id) for answer in answers]
    if len({answer.question_id for answer in answers}) != n_questions or None in judged:
        return None
    return sum(map(bool, judged)) / len(judged)
