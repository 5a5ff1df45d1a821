"""How fast an engine writes on this machine, at several batch sizes.

Knows neither models nor commands: it is handed engines, requests and a clock, and returns records.
`seal bench generate` prints them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from stages.engines import Completion, Engine, Request

WARM_UP = 2  # tokens of each text that are written before the clock runs


@dataclass(frozen=True)
class Measured:
    """What the same texts took. `same_texts`: the share that the first batch size wrote too."""

    decode_batch: int
    n_self_edits: int
    n_tokens: int
    n_failed: int
    seconds_per_self_edit: float
    tokens_per_second: float
    same_texts: float


def measure(
    engine_of: Callable[[int], Engine],
    requests: Sequence[Request],
    batches: Sequence[int],
    now: Callable[[], float],
) -> Iterator[Measured]:
    """Let the engine of each batch size answer all requests."""
    first: list[Completion] | None = None
    for batch in batches:
        engine = engine_of(batch)
        engine.complete([replace(r, max_tokens=WARM_UP) for r in requests[:batch]])
        start = now()
        written = engine.complete(requests)
        seconds = now() - start
        first = first or written
        n_tokens = sum(w.n_tokens or 0 for w in written)
        same = sum(w.text == f.text for w, f in zip(written, first, strict=True))
        yield Measured(
            decode_batch=batch,
            n_self_edits=len(written),
            n_tokens=n_tokens,
            n_failed=sum(w.error is not None for w in written),
            seconds_per_self_edit=seconds / len(written),
            tokens_per_second=n_tokens / seconds,
            same_texts=same / len(written),
        )
