"""Records by hand, tiny models of several architectures, and LoRAs that change something."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from stages.domains import knowledge
from stages.models import LanguageModel
from stages.records import Context, Example, Policy, Question, Reward, SelfEdit
from stages.tokens import row
from stages.training import Job, Lora

# The same examples on every run, and no verdict by the clock: cores are shared.
settings.register_profile("stages", deadline=None, derandomize=True, database=None)
settings.load_profile("stages")

World = list[tuple[Context, list[Question]]]

# The attention projections of each: what a LoRA goes on by default.
ARCHITECTURES = {
    "llama": ("q_proj", "v_proj"),
    "qwen2": ("q_proj", "v_proj"),
    "mistral": ("q_proj", "v_proj"),
    "neox": ("query_key_value",),
    "gpt2": ("c_attn",),
}


@pytest.fixture(scope="session")
def world() -> World:
    """Two passages with two questions each."""
    rows = [
        {
            "title": f"Harbour {name}",
            "context": f"The harbour of {name} opened in {year}. Its light is {height} m high.",
            "questions": [
                {"question": f"When did the harbour of {name} open?", "answer": str(year)},
                {"question": "How high is its light?", "answers": [f"{height} m"]},
            ],
        }
        for name, year, height in [("Ost", 1871, 31), ("Vik", 1902, 27)]
    ]
    return [knowledge.read(row, ordinal=i, split="train") for i, row in enumerate(rows)]


@pytest.fixture(scope="session")
def contexts(world: World) -> dict[str, Context]:
    return {context.context_id: context for context, _ in world}


@pytest.fixture(scope="session")
def questions(world: World) -> dict[str, list[Question]]:
    return {context.context_id: asked for context, asked in world}


@pytest.fixture(scope="session")
def policy() -> Policy:
    return Policy("model-0123456789abcdef", "base", None, 0, None, "base", None)


@pytest.fixture(scope="session")
def edit() -> Callable[..., SelfEdit]:
    """`edit(context, completion, **columns)`: a self-edit row."""

    def make(context: Context, completion: str = "It is old.", **columns: Any) -> SelfEdit:
        defaults = {
            "self_edit_id": f"edit {context.ordinal} {completion[:20]} {columns.get('sample', 0)}",
            "context_id": context.context_id,
            "sample": 0,
            "policy": "model-0123456789abcdef",
            "round": 0,
            "prompt_name": "implications",
            "prompt": f"Imply: {context.text}\n",
            "completion": completion,
            "status": "ok",
            "reason": None,
            "n_tokens": 5,
            "seed": 1,
            "finish": "stop",
        }
        return SelfEdit(**defaults | columns)

    return make


@pytest.fixture(scope="session")
def reward() -> Callable[..., Reward]:
    """`reward(name, value, **columns)`: a reward row over a baseline of 0.5, failed for None."""

    def make(name: str, value: float | None, **columns: Any) -> Reward:
        failed = value is None
        defaults = {
            "self_edit_id": name,
            "context_id": name[0],
            "sample": int(name[1:]),
            "policy": "p",
            "round": 0,
            "student": "p",
            "grader": "offline-2",
            "baseline_accuracy": 0.5,
            "adapted_accuracy": value,
            "adapted_std": None if failed else 0.0,
            "gain": None if value is None else value - 0.5,
            "reward": value,
            "n_repeats": 0 if failed else 3,
            "n_questions": 4,
            "status": "failed" if failed else "ok",
            "reason": "out of memory" if failed else None,
        }
        if columns.get("status") == "invalid":
            defaults |= {"adapted_accuracy": None, "gain": None, "reason": "no text to train on"}
        return Reward(**defaults | columns)

    return make


@pytest.fixture(scope="session")
def tiny(random_model: Path) -> Callable[..., LanguageModel]:
    """`tiny("gpt2", **config)`: a random model in memory over the byte-level tokenizer."""

    def build(architecture: str, seed: int = 0, **config: Any) -> LanguageModel:
        import torch
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(random_model)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = _model(architecture, len(tokenizer), tokenizer.eos_token_id, config)
        return LanguageModel(model.eval().requires_grad_(False), tokenizer)

    return build


def _model(architecture: str, vocabulary: int, eos: int, extra: dict[str, Any]) -> Any:
    import transformers as tf

    common = {"vocab_size": vocabulary, "eos_token_id": eos, "bos_token_id": None}
    wide = {"initializer_range": 0.2}  # so that greedy choices are decided
    if architecture == "gpt2":
        config = tf.GPT2Config(
            n_embd=32, n_layer=2, n_head=2, n_positions=256, **common | wide | extra
        )
        return tf.GPT2LMHeadModel(config)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 256,
    }
    if architecture == "neox":
        return tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**common | shape | wide | extra))
    grouped = {"num_key_value_heads": 1}
    names = {"llama": "Llama", "qwen2": "Qwen2", "mistral": "Mistral", "mixtral": "Mixtral"}
    if architecture == "mistral":
        grouped["sliding_window"] = 12
    name = names[architecture]
    config = getattr(tf, f"{name}Config")(**common | shape | grouped | wide | extra)
    return getattr(tf, f"{name}ForCausalLM")(config)


@pytest.fixture(scope="session", params=list(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> str:
    """Each architecture in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def any_model(architecture: str, tiny: Callable[..., LanguageModel]) -> LanguageModel:
    """A tiny random model of each architecture."""
    return tiny(architecture)


@pytest.fixture(scope="session")
def any_targets(architecture: str) -> tuple[str, ...]:
    """Where a LoRA goes on `any_model`."""
    return ARCHITECTURES[architecture]


@pytest.fixture(scope="session")
def random_lora() -> Callable[..., Lora]:
    """`random_lora(model, targets)`: a LoRA with A and B large enough to change answers."""

    def make(model: Any, targets: tuple[str, ...], rank: int = 4, seed: int = 0) -> Lora:
        import torch

        chance = torch.Generator().manual_seed(seed)
        weights = {}
        for name, module in model.named_modules():
            if name.rsplit(".", 1)[-1] in targets:
                shape = module.weight.shape
                n_out, n_in = shape[::-1] if type(module).__name__ == "Conv1D" else shape
                weights[name] = (
                    torch.randn(rank, n_in, generator=chance) * 0.3,
                    torch.randn(n_out, rank, generator=chance) * 0.3,
                )
        transposed = any(type(m).__name__ == "Conv1D" for m in model.modules())
        return Lora(rank, 2 * rank, weights, transposed)

    return make


@pytest.fixture(scope="session")
def make_job() -> Callable[..., Job]:
    """`make_job(tokenizer, texts, **fields)`: a training job over plain texts."""

    def make(tokenizer: Any, texts: list[str], pad_targets: str = "eos", **fields: Any) -> Job:
        rows = tuple(
            row(tokenizer, Example("", text), max_length=48, pad_targets=pad_targets)
            for text in texts
        )
        defaults = {
            "rank": 4,
            "alpha": 8,
            "targets": ("q_proj", "v_proj"),
            "epochs": 3,
            "learning_rate": 1e-2,
            "batch_size": 1,
            "seed": 7,
        }
        return Job(rows=rows, **defaults | fields)

    return make
