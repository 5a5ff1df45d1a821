"""Generation: equal to transformers' own where that is defined, and per-row seeds where not."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from trace_model import Trace

from stages.engines import Completion, Request
from stages.engines.transformers import MOST_ON_GPU, TransformersEngine, _Batch, _Row, row_bytes
from stages.errors import ConfigError
from stages.loading import load
from stages.models import LanguageModel
from stages.tokens import render
from stages.training import Lora

PROMPTS = ["Ost", "The harbour of Ost opened in 1871.", "a", "What is the light? " * 3]
WORDS = 20


def greedy(prompt: str, **fields: Any) -> Request:
    return Request(prompt, seed=0, max_tokens=fields.pop("max_tokens", WORDS), **fields)


def sampled(prompt: str, seed: int, **fields: Any) -> Request:
    defaults = {"max_tokens": WORDS, "temperature": 1.0, "top_p": 0.95}
    return Request(prompt, seed=seed, **defaults | fields)


def theirs(model: Any, lm: LanguageModel, prompt: str, max_new_tokens: int = WORDS) -> str:
    """Greedy, by `generate`, this prompt alone."""
    inputs = lm.tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        out = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            do_sample=False,
            max_new_tokens=max_new_tokens,
            pad_token_id=lm.tokenizer.pad_token_id,
        )
    return lm.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


@pytest.fixture
def ending(tiny: Callable[..., LanguageModel]) -> Iterator[LanguageModel]:
    """A model that likes to end: its end token's logit is raised."""
    lm = tiny("llama", seed=3)
    head = lm.model.get_output_embeddings()
    hook = head.register_forward_hook(lambda m, i, out: out + _favour(out.shape[-1], 0, 2.5))
    yield lm
    hook.remove()


def _favour(size: int, token: int, by: float) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(token), size) * by


def test_with_chat_a_prompt_goes_into_the_template_and_the_completion_tells_it(
    chat_model: Path,
) -> None:
    lm = load(chat_model, "cpu", "float32")
    inside = [render(lm.tokenizer, prompt, chat=True) for prompt in PROMPTS]
    plain = TransformersEngine(lm).complete([greedy(prompt) for prompt in inside])
    found = TransformersEngine(lm, chat=True).complete([greedy(prompt) for prompt in PROMPTS])
    assert [one.text for one in found] == [one.text for one in plain]
    assert [one.prompt for one in found] == inside
    assert {one.prompt for one in plain} == {None}


def test_greedy_is_generate_one_at_a_time_and_in_a_batch(any_model: LanguageModel) -> None:
    expected = [theirs(any_model.model, any_model, prompt) for prompt in PROMPTS]
    assert len(set(expected)) > 2
    for batch in (1, 3, 16):
        found = TransformersEngine(any_model, batch).complete([greedy(p) for p in PROMPTS])
        assert [completion.text for completion in found] == expected
        assert {completion.error for completion in found} == {None}


def test_greedy_is_generate_with_rows_that_end_at_different_steps(ending: LanguageModel) -> None:
    prompts = [f"{a}{b}" for a in "Ost" for b in ("", " is", " was old", "?" * 9)]
    expected = [theirs(ending.model, ending, prompt) for prompt in prompts]
    found = TransformersEngine(ending).complete([greedy(p) for p in prompts])
    assert [completion.text for completion in found] == expected
    lengths = {completion.n_tokens for completion in found}
    assert len(lengths) > 3
    for completion in found:
        assert completion.finish == ("length" if completion.n_tokens == WORDS else "stop")


def test_with_a_lora_it_answers_as_peft_does(
    any_model: LanguageModel,
    any_targets: tuple[str, ...],
    random_lora: Callable[..., Lora],
    tmp_path: Any,
) -> None:
    from peft import PeftModel

    from stages.training.directory import save

    lora = random_lora(any_model.model, any_targets)
    engine = TransformersEngine(any_model)
    plain = engine.complete([greedy(p) for p in PROMPTS])
    adapted = engine.complete([greedy(p) for p in PROMPTS], [lora] * len(PROMPTS))
    assert engine.complete([greedy(p) for p in PROMPTS]) == plain
    save(lora, tmp_path)
    peft = PeftModel.from_pretrained(any_model.model, tmp_path)
    expected = [theirs(peft, any_model, prompt) for prompt in PROMPTS]
    peft.unload()
    assert [completion.text for completion in adapted] == expected
    assert adapted != plain


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_rows_that_wear_different_loras_are_answered_as_by_each_alone(
    any_model: LanguageModel,
    any_targets: tuple[str, ...],
    random_lora: Callable[..., Lora],
    batch: int,
) -> None:
    from stages.training.attach import attached

    model = any_model.model
    two, five, nine = (random_lora(model, any_targets, rank=r, seed=r) for r in (2, 5, 9))
    before = Trace(model)
    asked = [(p, lora) for lora in (two, None, five, nine) for p in PROMPTS]
    asked = asked[::3] + asked[1::3] + asked[2::3]
    engine = TransformersEngine(any_model, batch)
    found = engine.complete([greedy(p) for p, _ in asked], [lora for _, lora in asked])
    before.assert_unchanged(model)
    for (prompt, lora), completion in zip(asked, found, strict=True):
        with attached(model, lora):
            (expected,) = engine.complete([greedy(prompt)])
        assert completion == expected


def test_loras_on_different_modules_are_worn_together(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    lm = tiny("llama")
    loras = [random_lora(lm.model, (name,)) for name in ("q_proj", "down_proj")]
    engine = TransformersEngine(lm)
    found = engine.complete([greedy(PROMPTS[1])] * 2, loras)
    alone = [engine.complete([greedy(PROMPTS[1])], [lora])[0] for lora in loras]
    assert found == alone
    assert found[0] != found[1]


def test_a_lora_of_another_model_is_refused(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    lora = random_lora(tiny("llama", hidden_size=64).model, ("q_proj",))
    with pytest.raises(ConfigError, match="another architecture"):
        TransformersEngine(tiny("llama")).complete([greedy("Ost")], [lora])


def test_a_sampled_row_has_its_text_whatever_its_neighbours(any_model: LanguageModel) -> None:
    # In float64: the rounding of a batched product in float32 can move a draw over an edge.
    any_model = LanguageModel(copy.deepcopy(any_model.model).double(), any_model.tokenizer)
    requests = [sampled(p, seed=10 * i + j) for j in range(3) for i, p in enumerate(PROMPTS)]
    alone = [TransformersEngine(any_model).complete([one])[0] for one in requests]
    assert len({completion.text for completion in alone}) == len(requests)
    for batch in (2, 5, 16):
        assert TransformersEngine(any_model, batch).complete(requests) == alone
        assert TransformersEngine(any_model, batch).complete(requests[::-1]) == alone[::-1]


def test_a_longer_limit_only_goes_on(language_model: LanguageModel) -> None:
    engine = TransformersEngine(language_model)
    short, long = (
        engine.complete([sampled("Ost", 5, max_tokens=n), sampled("Vik", 6, max_tokens=40)])[0]
        for n in (5, 20)
    )
    assert long.text.startswith(short.text.rstrip("�"))
    assert (short.n_tokens, short.finish) == (5, "length")


def test_greedy_rows_stay_greedy_beside_sampled_ones(language_model: LanguageModel) -> None:
    engine = TransformersEngine(language_model)
    alone = engine.complete([greedy(p) for p in PROMPTS])
    mixed = engine.complete(
        [r for i, p in enumerate(PROMPTS) for r in (greedy(p), sampled(p, seed=i))]
    )
    assert mixed[::2] == alone
    assert mixed[1::2] != alone


@pytest.mark.parametrize("fields", [{"top_p": 1e-6}, {"temperature": 1e-5}])
def test_the_smallest_nucleus_and_no_heat_are_greedy(
    language_model: LanguageModel, fields: dict[str, float]
) -> None:
    engine = TransformersEngine(language_model)
    requests = [sampled(p, seed=i, **fields) for i, p in enumerate(PROMPTS)]
    assert engine.complete(requests) == engine.complete([greedy(p) for p in PROMPTS])


@pytest.mark.parametrize(
    ("temperature", "top_p"), [(1.0, 1.0), (1.0, 0.8), (0.5, 0.95), (2.0, 0.6), (1.0, 0.35)]
)
def test_the_sampler_draws_from_the_nucleus(
    language_model: LanguageModel, temperature: float, top_p: float
) -> None:
    n = 20_000
    logits = torch.tensor([2.0, 0.5, 1.5, -1.0, 1.0, -4.0])
    requests = [
        Request("a", seed=i, max_tokens=1, temperature=temperature, top_p=top_p) for i in range(n)
    ]
    batch = _Batch(language_model, [_Row(request, [5], None) for request in requests], None)
    chosen = batch._choose(logits.repeat(n, 1), list(range(n)), 0)
    counts = torch.bincount(chosen, minlength=6).double()
    expected = nucleus(logits, temperature, top_p)
    assert (counts[expected == 0] == 0).all()
    inside = expected > 0
    chi_square = ((counts - n * expected) ** 2 / (n * expected))[inside].sum()
    assert chi_square < 25  # 0.0001 of chi-square with five degrees of freedom lies above


def nucleus(logits: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """By definition: the fewest most probable tokens whose mass reaches top_p."""
    probability = (logits.double() / temperature).softmax(0)
    kept, mass = torch.zeros_like(probability), 0.0
    for token in probability.argsort(descending=True).tolist():
        kept[token] = probability[token]
        mass += probability[token].item()
        if mass >= top_p:
            break
    return kept / kept.sum()


class Spelling:
    """Makes a model write a given text: after n new tokens, its n-th byte is certain."""

    def __init__(self, lm: LanguageModel, text: str, prompt_length: int) -> None:
        self.ids = lm.tokenizer(text)["input_ids"]
        self.seen = -prompt_length + 1
        self.handles = [
            lm.model.model.register_forward_pre_hook(self._count, with_kwargs=True),
            lm.model.get_output_embeddings().register_forward_hook(self._favour),
        ]

    def _count(self, module: Any, args: Any, kwargs: Any) -> None:
        self.seen += kwargs["input_ids"].shape[1]

    def _favour(self, module: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
        token = self.ids[self.seen - 1] if self.seen <= len(self.ids) else 0
        return out + _favour(out.shape[-1], token, 1000.0)


@pytest.fixture
def spell(language_model: LanguageModel) -> Iterator[Callable[..., Completion]]:
    """`spell(text, stop)`: what comes of a model that wants to write this text."""
    made: list[Spelling] = []

    def go(text: str, **fields: Any) -> Completion:
        made.append(Spelling(language_model, text, prompt_length=3))
        try:
            return TransformersEngine(language_model).complete([greedy("Ost", **fields)])[0]
        finally:
            for handle in made.pop().handles:
                handle.remove()

    yield go
    assert not made


@pytest.mark.parametrize(
    ("wanted", "fields", "text", "n_tokens", "finish"),
    [
        ("old.", {}, "old.", 4, "stop"),
        ("old.\nbig.", {}, "old.\nbig.", 9, "stop"),
        ("old.\nbig.", {"stop": "\n"}, "old.", 5, "stop"),
        ("\n\n old.\nbig.", {"stop": "\n"}, "\n\n old.", 8, "stop"),
        ("\n \n", {"stop": "\n"}, "\n \n", 3, "stop"),
        ("old.\nbig.", {"max_tokens": 6}, "old.\nb", 6, "length"),
        ("old.\nbig.", {"max_tokens": 4, "stop": "\n"}, "old.", 4, "length"),
        ("", {}, "", 0, "stop"),
        ("é", {"max_tokens": 9}, "é", 2, "stop"),
    ],
)
def test_a_text_ends_at_its_end_token_its_stop_string_or_its_limit(
    spell: Any, wanted: str, fields: dict[str, Any], text: str, n_tokens: int, finish: str
) -> None:
    assert spell(wanted, **fields) == Completion(text, n_tokens, finish)


def test_a_stop_string_may_take_several_tokens(spell: Any) -> None:
    assert spell("old. Question: big", stop="Question:").text == "old. "


def test_a_stopped_row_does_not_stop_its_neighbours(ending: LanguageModel) -> None:
    requests = [greedy("Ost", max_tokens=n) for n in (1, 7, 3)]
    found = TransformersEngine(ending).complete(requests)
    alone = [TransformersEngine(ending).complete([one])[0] for one in requests]
    assert found == alone


def test_a_prompt_that_does_not_fit_is_an_error_row_and_its_siblings_are_fine(
    tiny: Callable[..., LanguageModel],
) -> None:
    lm = tiny("llama", max_position_embeddings=32)
    lm.model.lm_head.weight.data[lm.tokenizer.eos_token_id] = 0  # never the greedy choice
    prompts = ["Ost", "x" * 32, "y" * 100, "z" * 28]
    engine = TransformersEngine(lm, batch=4)
    found = engine.complete([greedy(p) for p in prompts])
    assert [completion.error is None for completion in found] == [True, False, False, True]
    assert found[1] == Completion(
        "", 0, None, "prompt of 32 tokens does not fit the model's window of 32"
    )
    assert found[0].text == engine.complete([greedy("Ost")])[0].text
    # The last one has room for four tokens only.
    assert (found[3].n_tokens, found[3].finish) == (4, "length")
    assert engine.complete([greedy(prompts[1])])[0].error is not None


def test_no_requests_are_no_completions(language_model: LanguageModel) -> None:
    assert TransformersEngine(language_model).complete([]) == []


def test_an_empty_prompt_is_an_error_row_and_its_siblings_are_fine(
    language_model: LanguageModel,
) -> None:
    engine = TransformersEngine(language_model)
    empty, other = engine.complete([greedy(""), greedy("Ost")])
    assert (empty.text, empty.n_tokens, empty.finish) == ("", 0, None)
    assert empty.error is not None
    assert other == engine.complete([greedy("Ost")])[0]


def test_out_of_memory_halves_the_batch_and_one_row_alone_is_an_error(
    language_model: LanguageModel,
) -> None:
    engine = TransformersEngine(language_model)
    requests = [greedy(p) for p in PROMPTS]
    expected = engine.complete(requests)

    def scarce(limit: int) -> list[Completion]:
        def refuse(module: Any, args: Any, kwargs: Any) -> None:
            if kwargs["input_ids"].shape[0] > limit or kwargs["input_ids"].shape[1] > 40:
                raise torch.OutOfMemoryError("no memory left")

        hook = language_model.model.register_forward_pre_hook(refuse, with_kwargs=True)
        try:
            return engine.complete(requests)
        finally:
            hook.remove()

    found = scarce(limit=1)
    assert found[:3] == expected[:3]
    assert found[3] == Completion("", 0, None, "out of memory on 57 prompt tokens")


def test_padding_changes_no_logit_of_a_real_token(any_model: LanguageModel) -> None:
    # What the engine relies on: left padding with position ids counted from the first real token.
    ids = any_model.tokenizer("The harbour.", return_tensors="pt")["input_ids"]
    pad = torch.zeros((1, 5), dtype=ids.dtype)
    mask = torch.cat([pad, torch.ones_like(ids)], dim=1)
    with torch.no_grad():
        alone = any_model.model(input_ids=ids).logits
        padded = any_model.model(
            input_ids=torch.cat([pad, ids], dim=1),
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        ).logits[:, 5:]
    assert torch.allclose(alone, padded, atol=1e-4)


def test_rows_that_ended_may_stay_until_a_quarter_has(
    ending: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [greedy(text) for text in ("The harbour", "A quay", "It", "Old and wide")]
    expected = TransformersEngine(ending, 4).complete(requests)
    assert len({one.n_tokens for one in expected}) > 1
    whole = _Batch.__init__
    made = []

    def lazy(batch: Any, *what: Any) -> None:
        whole(batch, *what)
        batch.worth = 0.3
        made.append(batch)

    monkeypatch.setattr(_Batch, "__init__", lazy)
    assert TransformersEngine(ending, 4).complete(requests) == expected
    assert made


def test_on_a_gpu_rows_are_as_many_as_memory_has_room_for(
    language_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = _Row(greedy("x", max_tokens=20), list(range(30)), None)
    size = row_bytes(language_model, 50)
    config = language_model.model.config
    heads, layers = config.num_key_value_heads, config.num_hidden_layers
    width = config.hidden_size // config.num_attention_heads
    assert size == 50 * 2 * layers * heads * width * 4 + 16 * config.vocab_size
    engine = TransformersEngine(language_model, 16)
    assert engine._at_once([row]) == 16
    monkeypatch.setattr(LanguageModel, "device", torch.device("cuda"))
    for room, found in ((0, 16), (100, 100), (10_000, MOST_ON_GPU)):
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda _, n=room: (2 * size * n, 0))
        assert engine._at_once([row]) == found
