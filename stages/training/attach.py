"""Putting a LoRA on a model with PEFT, and taking it off again without a trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stages.errors import ConfigError
from stages.training import Lora


@contextmanager
def attached(model: Any, lora: Lora | None) -> Iterator[Any]:
    """The model wearing `lora` (or itself, for None) inside the block; afterwards as before."""
    if lora is None:
        yield model
        return
    check_fits(model, lora)
    with wrapped(model, lora.rank, lora.alpha, lora.targets) as (peft_model, layers):
        for name, layer in layers.items():
            write(layer, *lora.weights[name])
        yield peft_model


def check_fits(model: Any, lora: Lora) -> None:
    """Every adapted module is in the model, no other has its short name, and the sizes agree."""
    modules = named(model, lora.targets).items()
    sizes = {name: set(size_of(m)) for name, m in modules if hasattr(m, "weight")}
    wanted = {name: {a.shape[1], b.shape[0]} for name, (a, b) in lora.weights.items()}
    if sizes != wanted:
        message = "the adapter was trained on a model of another architecture or size."
        raise ConfigError(message, "Adapt this model itself.")


@contextmanager
def wrapped(
    model: Any, rank: int, alpha: int, targets: list[str]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The PEFT model and its LoRA layers by full module name, freshly initialised."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=targets,
        lora_dropout=0.0,
        fan_in_fan_out=_stores_transposed(model, targets),
    )
    peft_model = get_peft_model(model, config)
    try:
        inner: Any = peft_model.base_model.model
        found = inner.named_modules()
        yield peft_model, {name: layer for name, layer in found if hasattr(layer, "lora_A")}
    finally:
        peft_model.unload()
        model.requires_grad_(False)


def _stores_transposed(model: Any, targets: list[str]) -> bool:
    """Whether the adapted modules keep their weights as [in, out], as GPT-2's Conv1D does."""
    return any(type(module).__name__ == "Conv1D" for module in named(model, targets).values())


def named(model: Any, targets: list[str]) -> dict[str, Any]:
    """The modules with these short names, by full name."""
    found = model.named_modules()
    return {name: module for name, module in found if name.rsplit(".", 1)[-1] in targets}


def size_of(module: Any) -> tuple[int, int]:
    """Out and in of a linear layer: GPT-2 stores it transposed, one in 4 bits has it packed."""
    if hasattr(module, "out_features"):
        return module.out_features, module.in_features
    n_out, n_in = module.weight.shape
    return (n_in, n_out) if type(module).__name__ == "Conv1D" else (n_out, n_in)


def write(layer: Any, a: Any, b: Any) -> None:
    """Copy A [rank, in] and B [out, rank] into a PEFT LoRA layer."""
    layer.lora_A["default"].weight.data.copy_(a)
    layer.lora_B["default"].weight.data.copy_(b)


def read(layers: dict[str, Any], rank: int, alpha: int) -> Lora:
    """The layers' weights as float32 tensors (or what is wider) of their own on the CPU."""
    weights = {
        name: tuple(
            widened(side["default"].weight.detach().to("cpu", copy=True))
            for side in (layer.lora_A, layer.lora_B)
        )
        for name, layer in layers.items()
    }
    transposed = any(layer.fan_in_fan_out for layer in layers.values())
    return Lora(rank, alpha, weights, transposed)


def widened(tensor: Any) -> Any:
    """The tensor as float32, or as it is when that is wider."""
    import torch

    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
