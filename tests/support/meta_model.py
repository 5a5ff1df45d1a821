"""A large model without weights: on the meta device shapes are all there is."""

import torch

from stages.bench.adapters import Numbers
from stages.models import LanguageModel


def model(layers: int) -> LanguageModel:
    """Qwen2.5-7B with few layers, without weights."""
    import transformers

    config = transformers.AutoConfig.for_model(
        "qwen2", hidden_size=3584, intermediate_size=18944, num_hidden_layers=layers,
        num_attention_heads=28, num_key_value_heads=4, vocab_size=152064,
    )  # fmt: skip
    with torch.device("meta"):
        made = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return LanguageModel(made.eval().requires_grad_(False), Numbers())
