"""Make the model `tiny-grids`: a tokenizer and a small Llama, pretrained on the tiny grid world.

    OMP_NUM_THREADS=1 python pretrain.py --out model

In two parts, both in the arc domain's own templates. First it learns to go on with a series of
grids that one rule has changed, rules being met as often as the world says. Then, for a short
while, also to write self-edits about demonstrations in view, by the untrained habit. It never sees
a task of the train or eval split. One process, one core, no download.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import world
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from stages.domains.arc import Arc
from stages.domains.arc.forms import ROWS
from stages.domains.arc.grids import to_text
from stages.domains.arc.tasks import Pair

PRESET = "tools-brief"
NOT_A_TARGET = -100
# A cell with what stands before it is one token, and so is a label with its line ends.
WORDS = r'\n*(?:Input|Output):\n|[ \n]?\d| ?"?[^\W\d]+"?[:,.]?| ?[^\s\w]|\s|.'


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of pretraining: AdamW, a short warm-up, then one learning rate, or decay to zero."""

    steps: int
    documents: int  # per step
    writing: float  # share of documents that are self-edits
    learning_rate: float
    decays: bool
    warmup: int = 50
    weight_decay: float = 0.05


SOLVE = Phase(steps=3000, documents=16, writing=0.0, learning_rate=2e-3, decays=False)
WRITE = Phase(steps=500, documents=16, writing=0.4, learning_rate=2e-3, decays=True)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document and whether it is learned."""

    text: str
    learned: bool


def document(rule: world.Rule, rng: random.Random, *, writing: bool) -> list[Piece]:
    """A task of one rule, solved; or its demonstrations and a self-edit.

    The outputs are learned from the second on: the first cannot be known.
    """
    if writing:
        pairs = [Pair(*world.pair(rule, rng)) for _ in range(world.DEMONSTRATIONS)]
        template = Arc().recipe(PRESET).steps[0].prompt
        return [
            Piece(template.replace("{demonstrations}", ROWS.shown(pairs)), learned=False),
            Piece(world.self_edit(rng), learned=True),
        ]
    pairs = [Pair(*world.pair(rule, rng)) for _ in range(world.DEMONSTRATIONS + 1)]
    whole = ROWS.asked(pairs[:-1], pairs[-1].input) + to_text(pairs[-1].output)
    pieces, rest = [], whole
    for pair in pairs[1:]:
        before = ROWS.query(pair.input)
        head, _, rest = rest.partition(before)
        pieces += [Piece(head + before, learned=False), Piece(to_text(pair.output), learned=True)]
        rest = rest.removeprefix(to_text(pair.output))
    return pieces


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Every word of the world is one token; other text falls back to its bytes: it round-trips."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cutter = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(WORDS), "isolated"), byte_level])
    words = {piece for text in _texts() for piece, _ in cutter.pre_tokenize_str(text)}
    pieces = ["<|end|>", "<|pad|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    pieces += sorted(words - set(pieces))
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    core = Tokenizer(models.BPE(vocabulary, merges=[], ignore_merges=True))
    core.pre_tokenizer = cutter
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def _texts() -> Iterator[str]:
    """Enough documents to meet every word, and the longer template's."""
    rng = random.Random(0)
    for rule in world.rules():
        for writing in (False, True) * 10:
            yield "".join(piece.text for piece in document(rule, rng, writing=writing))
    yield " ".join(f"{colour}\n{colour}" for colour in range(10))
    yield Arc().recipe("tools").steps[0].prompt


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> LlamaForCausalLM:
    """A Llama with fresh weights; heads of 32, because vLLM on a CPU takes no smaller ones."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def row(tokenizer: PreTrainedTokenizerFast, pieces: list[Piece]) -> tuple[list[int], list[int]]:
    """Token ids and labels of a document; an end token follows its last piece."""
    ids: list[int] = []
    labels: list[int] = []
    for piece in pieces:
        found = tokenizer.encode(piece.text, add_special_tokens=False)
        ids += found
        labels += found if piece.learned else [NOT_A_TARGET] * len(found)
    return [*ids, tokenizer.eos_token_id], [*labels, tokenizer.eos_token_id]


def batches(
    tokenizer: PreTrainedTokenizerFast, phase: Phase, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Padded batches of documents, for ever; padding comes last, where a causal model is blind."""
    rng = random.Random(seed)
    known = world.rules()
    names, often = list(known), list(known.values())
    while True:
        drawn = rng.choices(names, often, k=phase.documents)
        rows = [
            row(tokenizer, document(rule, rng, writing=rng.random() < phase.writing))
            for rule in drawn
        ]
        width = max(len(ids) for ids, _ in rows)
        pad = tokenizer.pad_token_id
        yield (
            torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows]),
            torch.tensor([to + [NOT_A_TARGET] * (width - len(to)) for _, to in rows]),
        )


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    phase: Phase,
    seed: int,
    tell: Callable[[str], None],
) -> None:
    """One part of pretraining."""
    optimizer = torch.optim.AdamW(
        model.parameters(), phase.learning_rate, betas=(0.9, 0.98), weight_decay=phase.weight_decay
    )

    def rate(step: int) -> float:
        left = (phase.steps - step) / phase.steps if phase.decays else 1.0
        return min((step + 1) / phase.warmup, left)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    given = batches(tokenizer, phase, seed)
    started, seen = time.monotonic(), []
    for step in range(1, phase.steps + 1):
        ids, labels = next(given)
        with torch.autocast("cpu", torch.bfloat16):  # the weights stay float32
            logits = model(input_ids=ids, use_cache=False).logits
        kept = labels[:, 1:] != NOT_A_TARGET
        loss = F.cross_entropy(logits[:, :-1][kept].float(), labels[:, 1:][kept])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        seen.append(loss.item())
        if step % 100 == 0:
            mean = sum(seen) / len(seen)
            tell(f"{step:6d}  {time.monotonic() - started:5.0f} s  {mean:.3f}")
            seen.clear()


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """A Hugging Face model folder."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # transformers 5 writes a class name that 4 does not know; both know this one.
    path = folder / "tokenizer_config.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def check_round_trip(folder: Path) -> None:
    """AutoTokenizer picks a class by the model's type: any pick must give our texts back."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in _texts():
        if tokenizer.decode(tokenizer.encode(text)) != text:
            raise RuntimeError(f"does not round-trip after reload: {text!r}")


def save_tasks(folder: Path) -> None:
    """The tasks of the two splits, as JSON lines."""
    for split in ("train", "eval"):
        lines = (json.dumps(task) + "\n" for task in world.tasks(split))
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")


def probe(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, n: int = 32) -> None:
    """For each rule, how often met and the share of last outputs that a greedy reader gets right.

    With the right tokens before it: all of them are the likeliest just when greedy decoding would
    write the output.
    """
    rng = random.Random(99)
    for rule, often in world.rules().items():
        rows = [row(tokenizer, document(rule, rng, writing=False))[0] for _ in range(n)]
        ids = torch.tensor(rows)
        with torch.no_grad():
            said = model(input_ids=ids).logits[:, -11:-2].argmax(-1)
        right = (said == ids[:, -10:-1]).all(1).float().mean().item()
        print(f"{often:6.2f} {right:.2f} {rule.name}")


def main() -> None:
    """Pretrain and save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("model"))
    parser.add_argument(
        "--solver", type=Path, help="keep the model between the two parts here; begin with it"
    )
    parser.add_argument("--probe", type=Path, help="make nothing; tell what this model can do")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = make_tokenizer()
    if arguments.probe:
        found = LlamaForCausalLM.from_pretrained(arguments.probe, dtype=torch.float32)
        probe(found, tokenizer)
        return

    def tell(line: str) -> None:
        print(line, flush=True)

    if arguments.solver and arguments.solver.is_dir():
        model = LlamaForCausalLM.from_pretrained(arguments.solver, dtype=torch.float32)
    else:
        model = make_model(tokenizer)
        tell(f"{model.num_parameters()} parameters, {len(tokenizer)} tokens")
        train(model, tokenizer, SOLVE, 0, tell)
        if arguments.solver:
            save(model, tokenizer, arguments.solver)
    train(model, tokenizer, WRITE, 1, tell)
    save(model, tokenizer, arguments.out)
    save_tasks(arguments.out)
    check_round_trip(arguments.out)


if __name__ == "__main__":
    main()
