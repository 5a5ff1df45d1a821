"""What a row is called and which seed it gets: hashes of content, never of order, time or batch."""

import hashlib
import json
from collections.abc import Sequence

Part = str | int | float | bool | None


def canonical(value: object) -> str:
    """JSON with one spelling per value.

    Raises ValueError for NaN and infinities, which JSON does not have, and TypeError for anything
    that is not JSON: a silent hash of it would be a wrong hit one day.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(*parts: Part | Sequence[Part], length: int = 16) -> str:
    """The first `length` hex digits of the sha256 of the parts."""
    return hashlib.sha256(canonical(parts).encode("utf-8", "surrogatepass")).hexdigest()[:length]


def derive_seed(run_seed: int, *identity: Part) -> int:
    """A 63-bit seed of its own for one row: independent of neighbours, workers and order."""
    return int(digest("seed", run_seed, *identity), 16) >> 1
