"""How fast an engine writes at several batch sizes. Knows no models: it is handed engines."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from stages.engines import Completion, Engine, Request
from stages.errors import ConfigError

WARM_UP = 2  # tokens of each text that are written before the clock runs


@dataclass(frozen=True)
class Measured:
    """What the same texts took."""

    engine: str
    decode_batch: int
    n_self_edits: int
    n_tokens: int
    n_failed: int
    seconds_per_self_edit: float
    tokens_per_second: float
    same_texts: float  # share that the first measured wrote, too
    reason: str | None  # of the first that failed


def measure(
    engine_of: Callable[[str, int], Engine],
    requests: Sequence[Request],
    wanted: Sequence[tuple[str, int]],
    now: Callable[[], float],
) -> Iterator[Measured]:
    """Let each engine answer all requests at each batch size."""
    first: list[Completion] | None = None
    for name, batch in wanted:
        engine = engine_of(name, batch)
        engine.complete([replace(r, max_tokens=WARM_UP) for r in requests[:batch]])
        start = now()
        written = engine.complete(requests)
        seconds = now() - start
        first = first or written
        n_tokens = sum(w.n_tokens or 0 for w in written)
        same = sum(w.text == f.text for w, f in zip(written, first, strict=True))
        yield Measured(
            engine=name,
            decode_batch=batch,
            n_self_edits=len(written),
            n_tokens=n_tokens,
            n_failed=sum(w.error is not None for w in written),
            seconds_per_self_edit=seconds / len(written),
            tokens_per_second=n_tokens / seconds,
            same_texts=same / len(written),
            reason=next((w.error for w in written if w.error is not None), None),
        )


@dataclass(frozen=True)
class Overhead:
    """What an engine of ours adds to what it drives: medians over pairs of alternating runs."""

    runs: int
    seconds: float
    direct_seconds: float
    overhead: float  # the median of the pairs' ratios, less one


def overhead(
    ours: Callable[[], int], direct: Callable[[], int], runs: int, now: Callable[[], float]
) -> Overhead:
    """Time both in turns, after a run of each; each returns the tokens it wrote.

    Raises ConfigError when they did not write as much: then their times say nothing.
    """
    written = ours(), direct()
    if written[0] != written[1]:
        message = f"seal wrote {written[0]} tokens and the engine alone {written[1]}."
        raise ConfigError(message, "Measure with --set generate.temperature=0.")
    pairs = []
    for run in range(runs):
        taken = [0.0, 0.0]
        for side in (0, 1) if run % 2 else (1, 0):
            start = now()
            (ours, direct)[side]()
            taken[side] = now() - start
        pairs.append(taken)
    ratios = [a / b for a, b in pairs]
    medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
    return Overhead(runs, medians[0], medians[1], statistics.median(ratios) - 1)
