"""What fits a GPU of so many GB, by the estimate of `--slots auto`: a Markdown table.

python examples/benchmarks/fits.py
"""

import torch

from stages.models import QUANTISED
from stages.training.memory import Fit, fit, memory_of
from stages.training.targets import resolve_targets

CARDS = (8, 16, 24, 48, 80)
USABLE = 0.95  # of a card's GiB: its driver's part, and a desktop's, is not free
RANK = 32
MOST = 64
_FIELDS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
           "num_key_value_heads", "vocab_size", "tie_word_embeddings")  # fmt: skip
MODELS = {
    "1B (Llama 3.2)": ("llama", 2048, 8192, 16, 32, 8, 128256, True),
    "3B (Llama 3.2)": ("llama", 3072, 8192, 28, 24, 8, 128256, True),
    "7B (Qwen2.5)": ("qwen2", 3584, 18944, 28, 28, 4, 152064, False),
}


def main() -> None:
    """Print the table."""
    print("| model, base, LoRA on | " + " | ".join(f"{card} GB" for card in CARDS) + " |")
    print("|" + "---|" * (len(CARDS) + 1))
    for name, (kind, *numbers) in MODELS.items():
        shapes = _shapes(kind, dict(zip(_FIELDS, numbers, strict=True)))
        for dtype in ("bfloat16", QUANTISED):
            for wanted in ("default", "all-linear"):
                memory = memory_of(shapes, resolve_targets(wanted, shapes), RANK, dtype)
                cells = (_cell(fit(int(card * USABLE * 2**30), memory)) for card in CARDS)
                targets = "q, v" if wanted == "default" else "all"
                print(f"| {name}, {dtype}, {targets} | " + " | ".join(cells) + " |")


def _cell(found: Fit) -> str:
    if found.slots == 0:
        return "-"
    return f"{min(found.slots, MOST)} x {found.tokens}{' twice' * found.again}"


def _shapes(kind: str, fields: dict[str, object]) -> dict[str, list[int]]:
    """Tensor shapes as the checkpoint has them: a tied head is stored once."""
    import transformers

    config = transformers.AutoConfig.for_model(kind, **fields)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    tied = fields["tie_word_embeddings"]
    state = model.state_dict().items()
    return {name: list(t.shape) for name, t in state if not (tied and name == "lm_head.weight")}


if __name__ == "__main__":
    main()
