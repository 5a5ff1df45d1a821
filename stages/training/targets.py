"""Which modules a LoRA adapts: resolved from the checkpoint's tensor names, recorded, in the key.

PEFT's own defaults differ by architecture and are silent; here the resolved names are part of the
artifact.
"""

import re
from collections.abc import Mapping, Sequence

from stages.errors import ConfigError

# Query and value projections, or what holds them where they are fused (Qwen2, Llama, Mistral:
# apart; GPT-NeoX, Falcon; GPT-2; Phi-3). The paper used PEFT's default for Qwen2: q_proj, v_proj.
QUERY_AND_VALUE: tuple[tuple[str, ...], ...] = (
    ("q_proj", "v_proj"),
    ("query_key_value",),
    ("c_attn",),
    ("qkv_proj",),
    ("Wqkv",),
)


def resolve_targets(request: str, shapes: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """Short module names for `default`, `all-linear` or a list with commas.

    Args:
        request: what the user asked for.
        shapes: name and shape of every tensor of the checkpoint.

    Raises:
        ConfigError: a name does not exist, or `default` knows nothing for this architecture.

    """
    linear = _linear_modules(shapes)
    listed = ", ".join(sorted(linear)) or "none"
    if request == "all-linear" and linear:
        return tuple(sorted(linear))
    if request == "default":
        for names in QUERY_AND_VALUE:
            if linear.issuperset(names):
                return names
        raise ConfigError(
            "no query and value projections were recognised in this model.",
            f"Name them with --targets; its linear layers: {listed}.",
        )
    names = tuple(sorted({name.strip() for name in request.split(",") if name.strip()}))
    missing = [name for name in names if name not in linear]
    if missing or not names:
        raise ConfigError(
            f"the model has no linear layer {', '.join(missing) or request!r}.",
            f"It has: {listed}.",
        )
    return names


def _linear_modules(shapes: Mapping[str, Sequence[int]]) -> set[str]:
    """Last names of the 2-D weights inside numbered blocks: neither embeddings nor the head."""
    inside = re.compile(r"\.\d+\..*?([^.]+)\.weight$")
    found = ((inside.search(name), shape) for name, shape in shapes.items())
    return {match[1] for match, shape in found if match and len(shape) == 2}
