"""Folding a LoRA into its base weights: in float32, cast back to the checkpoint's dtype."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from stages.errors import ResourceError
from stages.lora import Lora
from stages.models import LanguageModel


def merged_state(model: Any, lora: Lora) -> dict[str, torch.Tensor]:
    """The model's state dict with `alpha / rank * B @ A` added; the model itself is not touched."""
    state = dict(model.state_dict())
    modules = dict(model.named_modules())
    for name, (a, b) in lora.weights.items():
        weight = state[f"{name}.weight"]
        delta = (lora.alpha / lora.rank) * (b.to(weight.device) @ a.to(weight.device))
        if type(modules[name]).__name__ == "Conv1D":  # GPT-2 stores its linear layers transposed
            delta = delta.T
        state[f"{name}.weight"] = (weight.float() + delta).to(weight.dtype)
    return state


def save_merged(lm: LanguageModel, lora: Lora, path: Path) -> None:
    """The merged model and its tokenizer as a Hugging Face directory that loads like any other."""
    try:
        lm.model.save_pretrained(path, state_dict=merged_state(lm.model, lora))
    except SafetensorError as error:
        raise ResourceError(f"the model cannot be written: {error}.", "Free disk space.") from error
    lm.tokenizer.save_pretrained(path)
