"""Hashes of content and the seeds made of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.identity import canonical, derive_seed, digest

PARTS = st.lists(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None), max_size=5)
)


def test_the_hash_of_a_row_never_changes() -> None:
    # Pinned: a change here orphans every artifact on every user's disk.
    assert digest("knowledge", "Ost", "The harbour.") == "ad9bceab4b2a9816"
    assert derive_seed(0, "a", 1) == 2597675598693136339


def test_equal_values_have_one_spelling() -> None:
    assert canonical({"b": 1, "a": [True, None, "é"]}) == '{"a":[true,null,"é"],"b":1}'
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(ValueError):
        canonical({"rate": value})


@pytest.mark.parametrize("value", [{1, 2}, b"x", object()])
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical([value])


@given(PARTS, PARTS)
def test_different_parts_have_different_hashes(one: list[object], other: list[object]) -> None:
    assert (digest(*one) == digest(*other)) == (json.dumps(one) == json.dumps(other))


def test_the_border_between_parts_counts() -> None:
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest(["ab", "c"])}) == 4


def test_a_seed_fits_a_signed_64_bit_integer_and_a_torch_generator() -> None:
    seeds = [derive_seed(run, "row", i) for run in (-1, 0, 2**40) for i in range(200)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**61
