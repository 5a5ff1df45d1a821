"""Make a small model with random weights and a byte-level tokenizer, for trying out the pipeline.

It knows nothing and learns little: scores on it mean nothing. It exercises every stage on any
text, without a download.

    python examples/random_model.py models/random
"""

import argparse
import json
from pathlib import Path

END, PAD = "<|end|>", "<|pad|>"


def make(
    path: Path,
    *,
    hidden: int = 64,
    layers: int = 2,
    window: int = 4096,
    seed: int = 0,
    chat: bool = False,
) -> None:
    """Write a Llama-style model of about 0.15 M parameters (head size 32) and its tokenizer."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    # Without control characters: a random model would write them, and no self-edit with one is
    # trained on.
    written = {_spelling(byte) for byte in (*range(32), 127) if chr(byte) not in "\t\n"}
    alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - written)
    vocabulary = {piece: i for i, piece in enumerate([END, PAD, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
    if chat:
        fast.chat_template = (
            "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
            "{% if add_generation_prompt %}[assistant] {% endif %}"
        )
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        max_position_embeddings=window,
        # Wide enough that greedy choices are decided and not a matter of rounding.
        initializer_range=0.1,
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[PAD],
        bos_token_id=None,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(path)
    fast.save_pretrained(path)


def _spelling(byte: int) -> str:
    """How a byte-level tokenizer writes a byte that is not printable: GPT-2's table."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return chr(256 + others.index(byte))


def main() -> None:
    """Parse the command line and write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--window", type=int, default=4096, help="longest text in tokens")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chat", action="store_true", help="give the tokenizer a chat template")
    given = parser.parse_args()
    shape = {"hidden": given.hidden, "layers": given.layers, "window": given.window}
    make(given.path, **shape, seed=given.seed, chat=given.chat)
    print(json.dumps({"model": str(given.path), "hidden": given.hidden, "layers": given.layers}))


if __name__ == "__main__":
    main()
