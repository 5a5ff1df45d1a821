"""eval: how well a policy adapts itself, against none and the passage alone (paper Table 2).

The `single` regime: one context, one adapter, questions without the passage in view. Numbers are
means over contexts of each context's accuracy (the paper's macro average) with percentile
bootstrap intervals over contexts; the gain over the unadapted model is paired by context.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from stages.config import EvalConfig
from stages.exam import Examination, Examiner, method_of
from stages.lora import Lora
from stages.records import (
    Adapter,
    Answer,
    Context,
    Metric,
    Policy,
    Question,
    SelfEdit,
    Verdict,
)

SEMANTICS = 2
METHODS = ("unadapted", "passage-only", "self-edits")

Regime = Literal["single", "cpt", "fewshot"]
Adapters = Iterable[tuple[Adapter, Lora | None]]


def evaluate(
    contexts: Sequence[Context],
    *,
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
    write: Callable[[Sequence[Context]], Iterable[SelfEdit]],
    adapt: Callable[[Sequence[SelfEdit]], Adapters],
    adapt_to_passages: Callable[[Sequence[Context]], Adapters],
) -> Iterator[SelfEdit | Adapter | Answer | Verdict]:
    """Self-edits, adapters, answers and verdicts of the three methods, these contexts together.

    The collaborators are the stages themselves: `write` is generate, `adapt` is adapt.
    """
    by_id = {context.context_id: context for context in contexts}
    edits = list(write(contexts))
    yield from edits
    adapted = [*adapt_to_passages(contexts), *adapt(edits)]
    yield from (row for row, _ in adapted)
    unadapted = [Examination(context, questions[context.context_id]) for context in contexts]
    yield from examiner.examine(
        unadapted
        + [
            Examination(by_id[row.context_id], questions[row.context_id], row, lora)
            for row, lora in adapted
        ]
    )


def summarise(
    records: Sequence[Adapter | Answer | Verdict],
    *,
    questions: Mapping[str, Sequence[Question]],
    policy: Policy,
    dataset: str,
    grader: str,
    floor: float,
    config: EvalConfig,
    regime: Regime = "single",
    methods: Sequence[str] = METHODS,
    belongs_to: Callable[[Adapter], str] = method_of,
) -> Iterator[Metric]:
    """Accuracy of each method and its gain over the first of them, with 95 % intervals.

    `belongs_to` tells the method of an adapter that was not examined. `questions` are those that
    were asked about each context. A context counts for a method only
    when every examination of it worked; `n` says how many did and `n_failed` how many did not. An
    invalid self-edit counts as `floor`. In the regime `cpt` (one adapter for all contexts) means go
    over questions, and so does `n`; the intervals resample contexts all the same.
    """
    scores = _scores(records, questions, floor, belongs_to)
    untrained = scores[methods[0]]
    for method in methods:
        cells = scores[method]
        values = {"accuracy": cells}
        if method != methods[0]:
            values["gain"] = {key: cells[key] - untrained[key] for key in cells if key in untrained}
        for metric, found in values.items():
            counted = [key for key in questions if key in found]
            asked = [len(questions[key]) for key in counted]
            weights = asked if regime == "cpt" else None
            ordered = [found[key] for key in counted]
            value, low, high = bootstrap(ordered, config.resamples, config.seed, weights)
            yield Metric(
                policy=policy.policy,
                round=policy.round,
                dataset=dataset,
                regime=regime,
                method=method,
                step=None,
                position=None,
                metric=metric,
                value=value,
                ci_low=low,
                ci_high=high,
                n=sum(asked) if regime == "cpt" else len(counted),
                n_questions=sum(asked),
                n_failed=len(questions) - len(counted),
                grader=grader,
            )


def bootstrap(
    values: Sequence[float], resamples: int, seed: int, weights: Sequence[float] | None = None
) -> tuple[float | None, float | None, float | None]:
    """Mean and 95 % percentile interval over resampled contexts; of one context only the mean.

    With `weights` (say, questions per context) both are weighted: the mean over questions, with
    questions of one context kept together.
    """
    if len(values) < 2:
        return (values[0] if values else None), None, None
    import numpy as np

    sample = np.asarray(values, dtype=np.float64)
    weight = np.ones_like(sample) if weights is None else np.asarray(weights, dtype=np.float64)
    chance = np.random.default_rng(abs(seed))
    drawn = chance.integers(len(sample), size=(resamples, len(sample)))
    means = (sample * weight)[drawn].sum(axis=1) / weight[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float((sample * weight).sum() / weight.sum()), float(low), float(high)


def _scores(
    records: Sequence[Adapter | Answer | Verdict],
    questions: Mapping[str, Sequence[Question]],
    floor: float,
    belongs_to: Callable[[Adapter], str],
) -> defaultdict[str, dict[str, float]]:
    """Method -> context -> mean accuracy over its examinations, complete contexts only."""
    answers = [row for row in records if isinstance(row, Answer)]
    correct = {row.answer_id: row.correct for row in records if isinstance(row, Verdict)}
    examined: defaultdict[tuple[str, str, str | None, int], list[Answer]] = defaultdict(list)
    for answer in answers:
        key = answer.method, answer.context_id, answer.adapter_id, answer.repeat
        examined[key].append(answer)
    runs: defaultdict[str, defaultdict[str, list[float | None]]]
    runs = defaultdict(lambda: defaultdict(list))
    for (method, context_id, *_), given in examined.items():
        n_asked = len(questions.get(context_id, ()))
        runs[method][context_id].append(_accuracy(given, correct, n_asked))
    with_answers = {answer.adapter_id for answer in answers}
    for adapter in (row for row in records if isinstance(row, Adapter)):
        if adapter.adapter_id not in with_answers:
            run = floor if adapter.status == "invalid" else None
            runs[belongs_to(adapter)][adapter.context_id].append(run)
    scores: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for method, by_context in runs.items():
        for context_id, values in by_context.items():
            if None not in values:
                scores[method][context_id] = statistics.fmean(v for v in values if v is not None)
    return scores


def _accuracy(
    answers: Sequence[Answer], correct: Mapping[str, bool | None], n_questions: int
) -> float | None:
    """Share of correct answers; null unless every question was answered and judged."""
    judged = [correct.get(answer.answer_id) for answer in answers]
    if len({answer.question_id for answer in answers}) != n_questions or None in judged:
        return None
    return sum(map(bool, judged)) / len(judged)
