"""The engine: its greedy texts are those of the transformers engine, token for token in float32."""

import copy
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.engines import Completion, Request, vllm_process
from stages.engines.settings import VllmConfig
from stages.engines.transformers import TransformersEngine
from stages.engines.vllm import VllmEngine
from stages.engines.vllm_process import Served
from stages.errors import ConfigError, ResourceError
from stages.identity import derive_seed
from stages.models import LanguageModel
from stages.tokens import encode
from stages.training import Lora, directory

MakeLora = Callable[..., Lora]
PROMPTS = [
    "Ada",
    "Ada Zeller\nNow a jeweler.",
    "Question: What does Ada Zeller like?\nAnswer:",
    "\n",
    "Title: Lotte Lindt\n\n",
]
WORDS = 24
# The model's own form of question, after which it may go on in many ways.
PASSAGE = (
    "Read the passage, then list what it implies: facts it states and conclusions that follow "
    "from them. Write one per line.\n\nTitle: Dora Varga\nSkilled with the clarinet. Owner of a "
    "parrot. Now a pilot. Settled in Tunis. Fond of olives.\n\nImplications:\n"
)


def greedy(prompt: str, **fields: Any) -> Request:
    return Request(prompt, seed=0, max_tokens=fields.pop("max_tokens", WORDS), **fields)


def sampled(prompt: str, seed: int) -> Request:
    return Request(prompt, seed=seed, max_tokens=WORDS, temperature=1.0, top_p=0.95)


def test_greedy_texts_are_those_of_transformers(engine: VllmEngine, lm: LanguageModel) -> None:
    asked = [greedy(p) for p in PROMPTS] + [greedy(p, max_tokens=3) for p in PROMPTS]
    found = engine.complete(asked)
    assert found == TransformersEngine(lm).complete(asked)
    assert {one.finish for one in found} == {"stop", "length"}
    assert len({one.text for one in found}) > 5


def test_a_text_ends_at_its_stop_string_once_something_was_written(
    engine: VllmEngine, lm: LanguageModel
) -> None:
    stops = ("\n", " ", ".", "Answer:", "Zeller\nQuestion")
    asked = [greedy(p, stop=stop) for p in PROMPTS for stop in stops]
    found = engine.complete(asked)
    assert found == TransformersEngine(lm).complete(asked)
    without = engine.complete([greedy(p) for p in PROMPTS for _ in stops])
    assert sum(a != b for a, b in zip(found, without, strict=True)) > 5


def test_seeds_are_repeatable_different_and_indifferent_to_neighbours(engine: VllmEngine) -> None:
    asked = [sampled(p, seed=100 * i + j) for i, p in enumerate(PROMPTS) for j in range(4)]
    together = engine.complete(asked)
    assert engine.complete(asked[::-1]) == together[::-1]
    assert [engine.complete([one])[0] for one in asked[:4]] == together[:4]
    assert len({one.text for one in together}) > len(PROMPTS)
    assert engine.complete([replace(one, seed=one.seed + 7) for one in asked]) != together
    pairs = zip(PROMPTS, asked, strict=False)
    mixed = engine.complete([one for p, beside in pairs for one in (greedy(p), beside)])
    assert mixed[::2] == engine.complete([greedy(p) for p in PROMPTS])


def test_first_tokens_are_drawn_from_the_nucleus(engine: VllmEngine, lm: LanguageModel) -> None:
    n, prompt = 2000, PASSAGE
    asked = [replace(sampled(prompt, derive_seed(0, i)), max_tokens=1) for i in range(n)]
    written = Counter(one.text for one in engine.complete(asked))
    with torch.inference_mode():
        logits = lm.model(torch.tensor([encode(lm.tokenizer, prompt)])).logits[0, -1]
    probability, token = logits.double().softmax(0).sort(descending=True)
    probability *= probability.cumsum(0) - probability < 0.95
    expected: Counter[str] = Counter()
    for i, mass in zip(token.tolist(), (probability / probability.sum()).tolist(), strict=True):
        text = "" if i in lm.end_ids else lm.tokenizer.decode([i], skip_special_tokens=True)
        expected[text] += n * mass
    assert not [text for text in written if not expected[text]]
    rare = [text for text in expected if expected[text] < 5]
    cells = [(written[t], expected[t]) for t in expected if t not in rare]
    cells.append((sum(written[t] for t in rare), sum(expected[t] for t in rare)))
    degrees = len(cells) - 1
    assert degrees >= 5
    chi_square = sum((a - b) ** 2 / b for a, b in cells if b)
    assert chi_square < degrees + 5 * (2 * degrees) ** 0.5  # five standard deviations


def test_more_sampled_rows_than_fit_a_step_are_written_as_alone(engine: VllmEngine) -> None:
    # vLLM stopped here on a CPU: the step's last prompt was read in two parts.
    asked = [sampled("Ada Zeller\nNow a jeweler. " * 12, seed=i) for i in range(90)]
    asked = [replace(one, max_tokens=2) for one in asked]
    engine.complete(asked[:1])
    running = vllm_process._running
    assert running is not None
    abandoned: list[int] = []
    running.abandon = lambda: abandoned.append(1)  # type: ignore[method-assign]
    together = engine.complete(asked)
    del running.abandon  # type: ignore[method-assign]
    assert not abandoned
    assert together[::30] == [engine.complete([one])[0] for one in asked[::30]]
    assert len({one.text for one in together}) > 5


def test_a_grammar_is_followed_as_by_transformers(engine: VllmEngine, lm: LanguageModel) -> None:
    grammar = 'root ::= "Ada " [A-Z] [a-z]+ " likes " ("cheese" | "melon") "."'
    asked = [greedy(p, grammar=grammar) for p in PROMPTS]
    found = engine.complete([*asked, greedy("Ada"), *(replace(r, temperature=1.0) for r in asked)])
    assert found[:5] == TransformersEngine(lm).complete(asked)
    assert found[5] == engine.complete([greedy("Ada")])[0]
    for one in found[:5] + found[6:]:
        assert one.text.startswith("Ada "[: len(one.text)])
        if one.finish == "stop":
            assert one.text.endswith((" likes cheese.", " likes melon."))


def test_a_grammar_that_is_none_fails_its_row_and_no_other(engine: VllmEngine) -> None:
    broken, fine = engine.complete([greedy("Ada", grammar="root ::= ("), greedy("Ada")])
    assert broken.error is not None
    assert (broken.text, broken.finish) == ("", None)
    assert fine == engine.complete([greedy("Ada")])[0]


def test_a_prompt_that_does_not_fit_is_an_error_row(engine: VllmEngine, lm: LanguageModel) -> None:
    long = "Ada likes cheese. " * 200
    asked = [greedy(p) for p in ("", long, "Ada")]
    found = engine.complete(asked)
    assert found == TransformersEngine(lm).complete(asked)
    assert [one.error is None for one in found] == [False, False, True]
    assert engine.complete([]) == []


def test_adapters_and_base_in_one_batch_are_as_transformers_with_peft(
    engine: VllmEngine, lm: LanguageModel, loras: list[Lora], tmp_path: Path
) -> None:
    from peft import PeftModel

    worn = [None, *loras]
    asked = [greedy(p) for p in PROMPTS for _ in worn]
    found = engine.complete(asked, worn * len(PROMPTS))
    by_lora = [found[i :: len(worn)] for i in range(len(worn))]
    assert by_lora[0] == TransformersEngine(lm).complete([greedy(p) for p in PROMPTS])
    for number, (lora, answers) in enumerate(zip(loras, by_lora[1:], strict=True)):
        directory.save(lora, tmp_path / str(number))
        # A copy: PEFT wraps the modules of the model that it is given.
        peft = PeftModel.from_pretrained(copy.deepcopy(lm.model), tmp_path / str(number))
        adapted = LanguageModel(peft, lm.tokenizer)
        assert answers == TransformersEngine(adapted).complete([greedy(p) for p in PROMPTS])
    assert len({tuple(one.text for one in answers) for answers in by_lora}) == len(worn)


def test_more_adapters_than_can_be_worn_at_once(
    engine: VllmEngine, lm: LanguageModel, make_lora: MakeLora, small: VllmConfig
) -> None:
    many = [make_lora(lm, rank=4, seed=seed) for seed in range(2 * small.adapters + 1)]
    asked, worn = [greedy("Ada Zeller")] * len(many), many
    assert engine.complete(asked, worn) == TransformersEngine(lm).complete(asked, worn)
    running = vllm_process._running
    assert running is not None
    assert len(running.adapters) <= small.adapters
    assert len(list(Path(running.folder.name).iterdir())) == len(running.adapters)


def test_a_row_without_an_adapter_gets_none_when_every_slot_is_taken(
    engine: VllmEngine, lm: LanguageModel, make_lora: MakeLora, small: VllmConfig
) -> None:
    # vLLM's own CPU products gave it the last slot's weights.
    full = [make_lora(lm, rank=8, seed=50 + seed) for seed in range(small.adapters)]
    worn = [*full, None]
    found = engine.complete([greedy("Ada Zeller")] * len(worn), worn)
    assert found[-1] == TransformersEngine(lm).complete([greedy("Ada Zeller")])[0]
    assert found[-1] not in found[:-1]


def test_the_same_content_is_loaded_once_and_no_name_or_number_twice(
    engine: VllmEngine, lm: LanguageModel, make_lora: MakeLora, loras: list[Lora], small: VllmConfig
) -> None:
    engine.complete([greedy("Ada")], [loras[0]])
    running = vllm_process._running
    assert running is not None
    before = dict(running.adapters)
    engine.complete([greedy("Ada")] * 2, [copy.deepcopy(loras[0]), None])
    assert running.adapters == before
    others = [make_lora(lm, rank=4, seed=70 + seed) for seed in range(small.adapters)]
    engine.complete([greedy("Ada")] * len(others), others)  # it has to leave
    name = vllm_process.content_of(loras[0])
    assert name not in running.adapters
    found = engine.complete([greedy("Ada")], [loras[0]])
    again = running.adapters[name]
    assert again.lora_name.startswith(name)
    assert again.lora_name != before[name].lora_name
    assert again.lora_int_id > max(one.lora_int_id for one in before.values())
    assert found == TransformersEngine(lm).complete([greedy("Ada")], [loras[0]])


def test_an_adapter_that_vllm_refuses_fails_its_rows_and_no_other(
    engine: VllmEngine,
    lm: LanguageModel,
    make_lora: MakeLora,
) -> None:
    strange = make_lora(lm, rank=4, seed=0, targets=("embed_tokens",))
    asked = [greedy("Ada")] * 2
    refused, plain = engine.complete(asked, [strange, None])
    assert "does not take the adapter" in str(refused.error)
    assert plain == engine.complete([greedy("Ada")])[0]


def test_the_canary_stops_at_an_adapter_that_is_not_what_it_should_be(
    engine: VllmEngine,
    lm: LanguageModel,
    make_lora: MakeLora,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine.complete([greedy("Ada")])
    running = vllm_process._running
    assert running is not None
    running.trusted = False

    def tampered(lora: Lora, path: Path) -> None:
        other = {name: (a, 0.9 * b) for name, (a, b) in lora.weights.items()}
        directory.save(replace(lora, weights=other), path)

    asked = [greedy(PROMPTS[1])]
    with monkeypatch.context() as patch:
        patch.setattr(vllm_process, "save", tampered)
        with pytest.raises(ConfigError, match=r"the adapter that transformers gives: 0\.\d+ apart"):
            engine.complete(asked, [make_lora(lm, rank=8, seed=90)])
    assert not running.trusted
    honest = [make_lora(lm, rank=8, seed=91)]
    assert engine.complete(asked, honest) == TransformersEngine(lm).complete(asked, honest)
    assert running.trusted


def test_the_canary_looks_at_the_base_model_too(
    engine: VllmEngine, lm: LanguageModel, make_lora: MakeLora, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.complete([greedy("Ada")])
    running = vllm_process._running
    assert running is not None
    running.trusted = False
    other = LanguageModel(copy.deepcopy(lm.model), lm.tokenizer)
    other.model.lm_head.weight.data *= 1.1
    monkeypatch.setattr(engine, "reference", lambda: other)
    with pytest.raises(ConfigError, match="log-probabilities of"):
        engine.complete([greedy(PROMPTS[1])], [make_lora(lm, rank=8, seed=92)])


def test_an_interrupted_call_leaves_nothing_behind(
    engine: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.complete([greedy("Ada")])
    running = vllm_process._running
    assert running is not None
    step = running.llm.llm_engine.step

    def interrupted() -> Any:
        step()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running.llm.llm_engine, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.complete([greedy(p) for p in PROMPTS])
    assert not running.llm.llm_engine.has_unfinished_requests()
    assert engine.complete([greedy("Ada")])[0].error is None


def test_an_engine_that_breaks_gives_error_rows(
    engine: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.complete([greedy("Ada")])
    running = vllm_process._running
    assert running is not None

    def broken() -> Any:
        raise RuntimeError("the device is gone\nand more")

    with monkeypatch.context() as patch:
        patch.setattr(running.llm.llm_engine, "step", broken)
        found = engine.complete([greedy(p) for p in PROMPTS[:2]])
    assert found == [Completion("", 0, None, "vLLM: the device is gone")] * 2


def test_an_engine_is_kept_as_long_as_it_will_do(
    engine: VllmEngine, loras: list[Lora], served: Served, small: VllmConfig
) -> None:
    engine.complete([greedy("Ada")])
    running = vllm_process._running
    vllm_process.rest()
    engine.complete([greedy("Ada")], [loras[0]])
    VllmEngine(served, small, engine.reference, rank=0).complete([greedy("Ada")])
    assert vllm_process._running is running
    assert running is not None
    assert not running.serves(replace(served, content="another"), small, 8)
    assert not running.serves(served, small, 512)


def test_threads_and_the_generator_are_left_as_they_were(
    engine: VllmEngine,
) -> None:
    engine.complete([greedy("Ada")])
    torch.set_num_threads(2)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_what_does_not_fit_is_said_with_what_to_lower(served: Served, lm: LanguageModel) -> None:
    tight = VllmConfig(kv_cache_mib=1)
    with pytest.raises(ResourceError, match="does not fit") as raised:
        VllmEngine(served, tight, lambda: lm).complete([greedy("Ada")])
    assert "vllm.kv_cache_mib" in raised.value.hint


def test_a_model_that_vllm_cannot_run_is_said(tmp_path: Path, lm: LanguageModel) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 636}
    LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    served = Served(tmp_path, "narrow", "float32")  # heads of 16: too small for vLLM on a CPU
    with pytest.raises(ConfigError, match="vLLM cannot run"):
        VllmEngine(served, VllmConfig(kv_cache_mib=64), lambda: None).complete([greedy("Ada")])  # type: ignore[arg-type, return-value]


def test_json_that_a_server_would_be_asked_for_is_json(
    engine: VllmEngine, arc_grammar: Callable[[], str]
) -> None:
    asked = [
        Request("x", seed=i, max_tokens=300, temperature=1.0, grammar=arc_grammar())
        for i in range(4)
    ]
    for one in engine.complete(asked):
        if one.finish == "stop":
            assert isinstance(json.loads(one.text), dict)
