"""Folding LoRAs into their base weights: in float32, cast back to the checkpoint's dtype.

Either into a copy that is saved (`update`), or one after another into the loaded model itself, for
as long as a block lasts (`eval` in the regime continual).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from stages.errors import ConfigError, ResourceError
from stages.models import LanguageModel
from stages.training import Lora


def check_plain(model: Any) -> None:
    """Raise ConfigError for a model whose weights are packed into 4 bits."""
    if getattr(model, "is_quantized", False):
        message = "a model in 4 bits can be adapted and examined, and not changed itself."
        raise ConfigError(message, "Leave out --dtype nf4.")


def merged_state(model: Any, lora: Lora) -> dict[str, torch.Tensor]:
    """The model's state dict with `alpha / rank * B @ A` added; the model itself is not touched."""
    check_plain(model)
    state = dict(model.state_dict())
    modules = dict(model.named_modules())
    for name in lora.weights:
        weight = state[f"{name}.weight"]
        merged = weight.float() + _delta(modules[name], name, lora)
        state[f"{name}.weight"] = merged.to(weight.dtype)
    return state


def _delta(module: Any, name: str, lora: Lora) -> torch.Tensor:
    """What a LoRA adds to the weight of one module: float32, where the weight is."""
    a, b = lora.weights[name]
    device = module.weight.device
    delta = (lora.alpha / lora.rank) * (b.to(device) @ a.to(device))
    # GPT-2 stores its linear layers transposed.
    return delta.T if type(module).__name__ == "Conv1D" else delta


class Merged:
    """A loaded model that takes in one LoRA after another.

    What was kept so far stands in float32 beside the model, so that rounding to the checkpoint's
    dtype does not add up over many merges.
    """

    def __init__(self, model: Any) -> None:
        check_plain(model)
        self._modules = dict(model.named_modules())
        self._kept: dict[str, torch.Tensor] = {}
        self._worn: dict[str, torch.Tensor] = {}
        self._originals: dict[torch.nn.Parameter, torch.Tensor] = {}

    def wear(self, lora: Lora, scale: float = 1.0) -> None:
        """Let the model be what was kept plus `scale` times this LoRA, in place of another's."""
        for name in lora.weights:
            module = self._modules[name]
            weight = module.weight
            original = self._originals.setdefault(weight, weight.data)
            kept = self._kept.get(name, original.float())
            self._worn[name] = kept + scale * _delta(module, name, lora)
            weight.data = self._worn[name].to(original.dtype)

    def keep(self) -> None:
        """What the model wears is what the next LoRA is added to."""
        self._kept |= self._worn

    @contextmanager
    def bare(self) -> Iterator[None]:
        """The model as it was before any merge, inside the block."""
        with swapped(self._originals):
            yield

    def restore(self) -> None:
        """The model's own tensors again, untouched: equal to the last bit."""
        for weight, original in self._originals.items():
            weight.data = original


@contextmanager
def merging(model: Any) -> Iterator[Merged]:
    """A model that LoRAs can be folded into inside the block; afterwards it is as before."""
    merged = Merged(model)
    try:
        yield merged
    finally:
        merged.restore()


@contextmanager
def swapped(tensors: Mapping[torch.nn.Parameter, torch.Tensor]) -> Iterator[None]:
    """Parameters with other tensors inside the block, with their own again afterwards."""
    own = {parameter: parameter.data for parameter in tensors}
    try:
        for parameter, tensor in tensors.items():
            parameter.data = tensor
        yield
    finally:
        for parameter, tensor in own.items():
            parameter.data = tensor


def save_merged(lm: LanguageModel, lora: Lora, path: Path) -> None:
    """The merged model and its tokenizer as a Hugging Face directory that loads like any other."""
    try:
        lm.model.save_pretrained(path, state_dict=merged_state(lm.model, lora))
    except SafetensorError as error:
        raise ResourceError(f"the model cannot be written: {error}.", "Free disk space.") from error
    lm.tokenizer.save_pretrained(path)
