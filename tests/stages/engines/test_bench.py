"""What `seal bench generate` measures: every batch size on the same requests, compared."""

from collections.abc import Sequence
from itertools import count

from stages.engines import Completion, Request, bench
from stages.engines.scripted import ScriptedEngine


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
    one, two = bench.measure(Wrong, asked, [1, 2], lambda: next(ticks))
    assert (one.same_texts, two.same_texts) == (1, 0.25)
    assert (one.n_tokens, one.tokens_per_second, one.seconds_per_self_edit) == (12, 12, 0.25)
    # A warm-up of one batch comes first.
    assert seen == [[2], [9] * 4, [2] * 2, [9] * 4]
