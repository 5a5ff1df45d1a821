"""Folding LoRAs into their base weights: in float32, cast back to the checkpoint's dtype.

Into a copy that is saved (`update`), into a model that is being loaded (a policy kept as base and
adapter), or one after another into the loaded model itself, for as long as a block lasts (`eval` in
the regime continual).
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from stages.errors import ConfigError, InputError, ResourceError
from stages.models import LanguageModel
from stages.training import Lora
from stages.training.attach import check_fits
from stages.training.directory import MERGED

LOG = logging.getLogger(__name__)


def check_plain(model: Any) -> None:
    """Raise ConfigError for a model whose weights are packed into 4 bits."""
    if getattr(model, "is_quantized", False):
        message = "a model in 4 bits cannot be merged or finetuned whole."
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


def fold(model: Any, lora: Lora) -> None:
    """Let the model be the merged one.

    Raises:
        ConfigError: the LoRA is of another architecture or size.
        InputError: it adapts weights that several modules share.

    """
    check_fits(model, lora)
    modules = dict(model.named_modules())
    shared = Counter(id(getattr(module, "weight", None)) for module in modules.values())
    if any(shared[id(modules[name].weight)] > 1 for name in lora.weights):
        raise InputError(
            "the adapter changes weights that several modules share.",
            "Merge it with PEFT, and give the merged folder.",
        )
    state = merged_state(model, lora)
    for name in lora.weights:
        modules[name].weight.data = state[f"{name}.weight"]


def record(folder: Path, state: Mapping[str, torch.Tensor], lora: Lora) -> None:
    """Write down beside a LoRA what came of merging it."""
    (folder / MERGED).write_text(json.dumps(_summary(state, lora)))


def compare(folder: Path, model: Any, lora: Lora) -> None:
    """Say so where merging gave other numbers than on the machine that trained the LoRA."""
    file = folder / MERGED
    if not file.is_file():
        return
    found = _summary(model.state_dict(), lora)
    try:
        recorded = json.loads(file.read_text(encoding="utf-8"))
        differs = found["dtype"] == recorded["dtype"] and found != recorded
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        LOG.warning("%s cannot be read: the merged weights are not compared with it.", file)
        return
    if differs:
        LOG.warning("%s: merged here, its weights differ from those it was made with.", folder)


def _summary(state: Mapping[str, torch.Tensor], lora: Lora) -> dict[str, str]:
    found, dtypes = hashlib.sha256(), set()
    for name in sorted(lora.weights):
        tensor = state[f"{name}.weight"].detach().cpu().contiguous()
        dtypes.add(str(tensor.dtype).removeprefix("torch."))
        found.update(tensor.view(torch.uint8).numpy().tobytes())
    return {"dtype": " ".join(sorted(dtypes)), "sha256": found.hexdigest()}


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
