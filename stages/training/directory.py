"""A LoRA as a PEFT directory (adapter_config.json, adapter_model.safetensors), and back.

What `peft` and vLLM load. Pickled adapters (.bin) are never read.
"""

import json
from pathlib import Path
from typing import Any

from stages.errors import InputError
from stages.training import Lora

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MERGED = "merged.json"  # the digest of what came of merging it, where `update` wrote it
# Settings of PEFT that change what a LoRA means; applying one without them would be wrong.
_NOT_PLAIN = (
    "use_rslora",
    "use_dora",
    "alpha_pattern",
    "rank_pattern",
    "bias",
    "modules_to_save",
    "lora_bias",
    "alora_invocation_tokens",
    "layer_replication",
)
_PLAIN_START = (None, True, False, "gaussian", "eva", "orthogonal")  # of `init_lora_weights`
_PREFIX = "base_model.model."


def save(lora: Lora, path: Path) -> None:
    """Write the directory, which is made if it is not there."""
    from peft import LoraConfig
    from safetensors.torch import save as serialise

    path.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=lora.targets,
        lora_dropout=0.0,
        fan_in_fan_out=lora.transposed,
        task_type="CAUSAL_LM",
        inference_mode=True,
    ).to_dict()  # type: ignore[no-untyped-call]
    config["target_modules"] = lora.targets  # a set has no order: two saves would differ
    (path / CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True, default=str))
    tensors = {}
    for name, (a, b) in sorted(lora.weights.items()):
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = a.contiguous()
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = b.contiguous()
    # Not save_file: it hides a full disk in an error of its own, and writes files of mode 0600,
    # which a server under another user cannot read.
    (path / WEIGHTS).write_bytes(serialise(tensors, metadata={"format": "pt"}))


def load(path: Path) -> Lora:
    """Read the directory. Raises InputError when it is missing, broken or pickled."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        special = [
            key for key in _NOT_PLAIN if config.get(key) not in (None, False, "none", {}, [])
        ]
        if config.get("init_lora_weights") not in _PLAIN_START:  # it changes the base, too
            special.append("init_lora_weights")
        if special:
            raise ValueError(f"it uses {', '.join(special)}")
        tensors = load_file(path / WEIGHTS)
        names = {key.removeprefix(_PREFIX).rsplit(".lora_", 1)[0] for key in tensors}
        pairs = {
            name: (
                tensors[f"{_PREFIX}{name}.lora_A.weight"],
                tensors[f"{_PREFIX}{name}.lora_B.weight"],
            )
            for name in sorted(names)
        }
        rank = int(config["r"])
        if rank < 1 or any((a.shape[0], b.shape[1]) != (rank, rank) for a, b in pairs.values()):
            raise ValueError(f"its weights are not of rank {rank}")
        transposed = bool(config.get("fan_in_fan_out"))
        return Lora(rank, int(config["lora_alpha"]), pairs, transposed)
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, SafetensorError,
    ) as error:  # fmt: skip
        raise InputError(
            f"{path} is not a readable LoRA: {error}.", "Copy it again, or make it again."
        ) from error
