"""What `seal bench generate` measures: every batch size on the same requests, compared."""

from collections.abc import Sequence
from itertools import count

import pytest

from stages.bench import generate as bench
from stages.engines import Completion, Request
from stages.engines.scripted import ScriptedEngine
from stages.errors import ConfigError


def test_texts_of_another_batch_size_are_compared_with_the_first() -> None:
    seen: list[list[int]] = []

    class Wrong(ScriptedEngine):
        def __init__(self, batch: int) -> None:
            super().__init__(lambda r: f"{r.seed * batch} it is")

        def complete(self, requests: Sequence[Request], loras: object = ()) -> list[Completion]:
            seen.append([r.max_tokens for r in requests])
            return super().complete(requests)

    ticks = count()
    asked = [Request("", seed, max_tokens=9) for seed in range(4)]
    wanted = [("one", 1), ("two", 2)]
    one, two = bench.measure(lambda _, batch: Wrong(batch), asked, wanted, lambda: next(ticks))
    assert (one.engine, two.engine) == ("one", "two")
    assert (one.same_texts, two.same_texts) == (1, 0.25)
    assert (one.n_tokens, one.tokens_per_second, one.seconds_per_self_edit) == (12, 12, 0.25)
    # A warm-up of one batch comes first.
    assert seen == [[2], [9] * 4, [2] * 2, [9] * 4]


def test_overhead_is_the_median_of_pairs_that_alternate() -> None:
    order: list[str] = []
    clock = [0.0]

    def side(name: str, seconds: float) -> int:
        order.append(name)
        clock[0] += seconds
        return 7

    ours, direct = (lambda: side("ours", 3.0)), (lambda: side("direct", 2.0))
    found = bench.overhead(ours, direct, 3, lambda: clock[0])
    assert (found.runs, found.seconds, found.direct_seconds, found.overhead) == (3, 3, 2, 0.5)
    pair = ["ours", "direct"]
    assert order == [*pair, *pair[::-1], *pair, *pair[::-1]]


def test_runs_that_wrote_other_texts_are_not_compared() -> None:
    with pytest.raises(ConfigError, match="7 tokens and the engine alone 8"):
        bench.overhead(lambda: 7, lambda: 8, 3, lambda: 0.0)
