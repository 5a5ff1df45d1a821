"""eval: how well a policy adapts itself, against none and the passage alone (paper Table 2).

The `single` regime: one context, one adapter, questions without the passage in view. Numbers are
means over contexts of each context's accuracy (the paper's macro average) with percentile
bootstrap intervals over contexts; the gain over the unadapted model is paired by context.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from stages.config import EvalConfig
from stages.exam import Examiner, method_of
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

SEMANTICS = 1
METHODS = ("unadapted", "passage-only", "self-edits")

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
    """Self-edits, adapters, answers and verdicts of the three methods, context by context.

    The collaborators are the stages themselves: `write` is generate, `adapt` is adapt.
    """
    for context in contexts:
        asked = questions[context.context_id]
        yield from examiner.examine(context, asked)
        for adapter, lora in adapt_to_passages([context]):
            yield adapter
            yield from examiner.examine(context, asked, adapter, lora)
        edits = list(write([context]))
        yield from edits
        for adapter, lora in adapt(edits):
            yield adapter
            yield from examiner.examine(context, asked, adapter, lora)


def summarise(
    records: Sequence[Adapter | Answer | Verdict],
    *,
    contexts: Sequence[Context],
    questions: Mapping[str, Sequence[Question]],
    policy: Policy,
    dataset: str,
    floor: float,
    config: EvalConfig,
) -> Iterator[Metric]:
    """Accuracy of each method and its gain over the unadapted model, with 95 % intervals.

    A context counts for a method only when every examination of it worked; `n` says how many did
    and `n_failed` how many did not. An invalid self-edit counts as `floor`.
    """
    scores = _scores(records, questions, floor)
    unadapted = scores["unadapted"]
    for method in METHODS:
        by_context = scores[method]
        values = {"accuracy": by_context}
        if method != "unadapted":
            both = by_context.keys() & unadapted.keys()
            values["gain"] = {key: by_context[key] - unadapted[key] for key in both}
        for metric, cells in values.items():
            counted = [c.context_id for c in contexts if c.context_id in cells]
            ordered = [cells[context_id] for context_id in counted]
            value, low, high = bootstrap(ordered, config.resamples, config.seed)
            yield Metric(
                policy=policy.policy,
                round=policy.round,
                dataset=dataset,
                regime="single",
                method=method,
                step=None,
                position=None,
                metric=metric,
                value=value,
                ci_low=low,
                ci_high=high,
                n=len(ordered),
                n_questions=sum(len(questions[context_id]) for context_id in counted),
                n_failed=len(contexts) - len(counted),
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
) -> dict[str, dict[str, float]]:
    """Method -> context -> mean accuracy over its examinations, complete contexts only."""
    correct: defaultdict[tuple[str, str | None], list[bool | None]] = defaultdict(list)
    verdicts = {r.answer_id: r.correct for r in records if isinstance(r, Verdict)}
    for answer in (r for r in records if isinstance(r, Answer)):
        correct[answer.context_id, answer.adapter_id].append(verdicts.get(answer.answer_id))
    runs: defaultdict[str, defaultdict[str, list[float | None]]]
    runs = defaultdict(lambda: defaultdict(list))
    for context_id, asked in questions.items():
        run = _accuracy(correct[context_id, None], len(asked))
        runs["unadapted"][context_id].append(run)
    for adapter in (r for r in records if isinstance(r, Adapter)):
        examined = correct[adapter.context_id, adapter.adapter_id]
        run = floor if adapter.status == "invalid" else None
        if adapter.status == "ok":
            run = _accuracy(examined, len(questions[adapter.context_id]))
        runs[method_of(adapter)][adapter.context_id].append(run)
    return {
        method: {
            context_id: statistics.fmean(v for v in values if v is not None)
            for context_id, values in by_context.items()
            if None not in values
        }
        for method, by_context in runs.items()
    } | {method: {} for method in METHODS if method not in runs}


def _accuracy(correct: Sequence[bool | None], n_questions: int) -> float | None:
    """Share of correct answers; null unless every question was answered and judged."""
    if len(correct) != n_questions or not correct or None in correct:
        return None
    return sum(map(bool, correct)) / len(correct)
