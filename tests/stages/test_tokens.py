"""Training rows: the seam, the begin token, labels by length, padding."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import ConfigError
from stages.records import Example
from stages.tokens import Row, begin_ids, encode, learnable, render, row


@pytest.fixture(scope="module")
def plain(random_model: Any) -> Any:
    """Byte level, no begin token, one id per byte."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(random_model)


@pytest.fixture(scope="module")
def beginning() -> Any:
    """Words, with a begin token that the tokenizer puts before every text (as Llama's does)."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", "?", "[", "]", "user", "assistant", "one", "two", "three", "on", "e"]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="?"
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %} [ {{ m['role'] }} ] {{ m['content'] }} {% endfor %}"
        "{% if add_generation_prompt %}[ assistant ] {% endif %}"
    )
    return tokenizer


@pytest.fixture(scope="module")
def merging() -> Any:
    """A BPE that would merge `on` and `e` across the seam of prompt and completion."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    pieces = {piece: i for i, piece in enumerate(["</s>", "o", "n", "e", "on", "one"])}
    core = Tokenizer(models.BPE(pieces, [("o", "n"), ("on", "e")]))
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>")


def test_prompt_and_completion_are_tokenised_apart(merging: Any) -> None:
    assert merging("one")["input_ids"] == [5]  # together they would be one token
    built = row(merging, Example("on", "e"), max_length=10)
    assert built == Row(ids=(4, 3, 0), first_target=1, n_real=3)


def test_a_row_has_exactly_one_begin_token(beginning: Any) -> None:
    for prompt in ("", "one two"):
        ids = row(beginning, Example(prompt, "three"), max_length=10).ids
        assert ids[0] == beginning.bos_token_id
        assert ids.count(beginning.bos_token_id) == 1


def test_a_row_has_exactly_one_begin_token_after_a_chat_template(beginning: Any) -> None:
    prompt = render(beginning, "one", chat=True)
    assert prompt.startswith("<s>")
    ids = row(beginning, Example(prompt, "two"), max_length=20).ids
    assert ids.count(beginning.bos_token_id) == 1
    assert beginning.decode(ids[1:]) == "[ user ] one [ assistant ] two</s>".replace(
        "two<", "two <"
    )


def test_a_tokenizer_without_begin_token_gets_none(plain: Any) -> None:
    assert begin_ids(plain) == []
    assert encode(plain, "ab") == plain("ab")["input_ids"]
    assert encode(plain, "") == []


def test_a_begin_token_that_is_defined_but_not_added_is_not_added(plain: Any) -> None:
    defined = copy.deepcopy(plain)
    defined.bos_token = "<|pad|>"
    assert begin_ids(defined) == []


def test_a_prompt_is_wrapped_once(beginning: Any) -> None:
    assert render(beginning, "one", chat=True).count("[ assistant ]") == 1


def test_a_system_message_has_a_turn_of_its_own_or_stands_before_the_prompt(
    beginning: Any,
) -> None:
    said = render(beginning, "one", "two", chat=True)
    assert " ".join(said.split()) == "<s> [ system ] two [ user ] one [ assistant ]"
    assert render(beginning, "one", "two", chat=False) == "two\n\none"
    silent = copy.deepcopy(beginning)
    silent.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}"
        "{% endif %}{{ messages[0]['content'] }}"
    )
    assert render(silent, "one", chat=True) == "one"
    with pytest.raises(ConfigError, match="no system role") as refused:
        render(silent, "one", "two", chat=True)
    assert "--no-system-message" in refused.value.hint


def test_the_prompt_is_never_a_target_even_when_its_text_repeats_in_the_completion(
    plain: Any,
) -> None:
    built = row(plain, Example("ab<|end|>", "ab"), max_length=50)
    assert plain.decode(built.ids[built.first_target :]) == "ab<|end|>"
    assert built.n_targets == 3


@pytest.mark.parametrize(
    ("pad_targets", "ends", "n_ends", "n_real"),
    [
        ("eos", True, 1, 4),
        ("eos", False, 0, 3),
        ("none", True, 0, 3),
        ("official", True, 5, 3),
        ("official", False, 5, 3),
    ],
)
def test_end_tokens_are_targets_as_asked(
    plain: Any, pad_targets: str, ends: bool, n_ends: int, n_real: int
) -> None:
    built = row(plain, Example("", "abc", ends), max_length=8, pad_targets=pad_targets)
    assert built.ids == (*plain("abc")["input_ids"], *[plain.eos_token_id] * n_ends)
    assert built.n_real == n_real
    assert built.n_targets == len(built.ids) - 1  # nothing precedes the first


@pytest.mark.parametrize("pad_targets", ["eos", "none", "official"])
def test_a_long_row_is_cut_and_loses_its_end_token(plain: Any, pad_targets: str) -> None:
    built = row(plain, Example("ab", "cdef"), max_length=5, pad_targets=pad_targets)
    assert plain.decode(built.ids) == "abcde"
    assert (built.first_target, built.n_real, built.n_targets) == (2, 5, 3)


def test_a_prompt_that_fills_the_row_leaves_nothing_to_learn(plain: Any) -> None:
    rows = [row(plain, Example("a" * n, "bc"), max_length=6) for n in (2, 5, 6, 9)]
    assert [r.n_targets for r in rows] == [3, 1, 0, -3]
    assert learnable(rows) == rows[:2]


def test_one_token_alone_is_not_learnable(plain: Any) -> None:
    single = row(plain, Example("", "a"), max_length=9, pad_targets="none")
    assert learnable([single]) == []


@given(
    prompt=st.text(max_size=12),
    completion=st.text(max_size=12),
    size=st.integers(2, 30),
    pad=st.sampled_from(["eos", "none", "official"]),
)
def test_any_row_is_prompt_then_completion_then_padding(
    random_model: Any, plain: Any, prompt: str, completion: str, size: int, pad: str
) -> None:
    built = row(plain, Example(prompt, completion), max_length=size, pad_targets=pad)
    before, after = plain(prompt)["input_ids"], plain(completion)["input_ids"]
    end = [plain.eos_token_id] if pad == "eos" else []
    assert list(built.ids[: built.n_real]) == (before + after + end)[:size]
    assert set(built.ids[built.n_real :]) <= {plain.eos_token_id}
    assert len(built.ids) == (size if pad == "official" else built.n_real)
    assert built.first_target == len(before)
