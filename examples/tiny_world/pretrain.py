"""Make the tiny model: a byte-safe word tokenizer and a small Llama, pretrained on the tiny world.

    OMP_NUM_THREADS=1 python pretrain.py --out model

It learns four things, all in the knowledge domain's own templates: to answer questions about the
known people with nothing in view; to read titled passages and titled statements about them; to
write self-edits about a passage in view, in the untrained mixture of forms, about people it never
meets again; and, a little, to write numbered questions about a passage. It never sees a person of
the train or eval split. One process, one core, no download.
"""

import argparse
import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch
import torch.nn.functional as F
import world
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from stages.domains import knowledge
from stages.records import Context, Question

ROW = 192  # tokens; documents are packed into rows of this length and never see each other
NOT_A_TARGET = -100
WORDS = r" ?[^\W\d_]+| ?[^\s\w]|\d|\s|."

# Shares of the documents, not of their tokens. Exposures per fact decide whether the known people
# are remembered at all; copying from a passage in view comes last in training.
KINDS = {"ask": 0.20, "passage": 0.10, "statement": 0.20, "write": 0.45, "write-questions": 0.05}


# Presets that ask for lines. `seal.toml` uses the first; the others are there to be tried.
LINE_PRESETS = {
    "implications": 0.88,
    "implications-long": 0.04,
    "implications-very-long": 0.04,
    "rewrite": 0.04,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was chosen, on people of the train split only."""

    hidden: int = 128
    layers: int = 3
    heads: int = 4  # of 32: vLLM on a CPU takes no smaller ones
    inner: int = 384
    steps: int = 5500
    faithful_steps: int = 3000  # the first, in which every self-edit repeats the passage
    rows: int = 16  # per step
    warmup: int = 100
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A text in two parts: the prompt is not learned; an end token follows the completion."""

    kind: str
    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Row:
    """Packed documents: `kind` is an index into KINDS, `segment` tells the documents apart."""

    ids: list[int]
    labels: list[int]
    positions: list[int]
    segments: list[int]
    kinds: list[int]


def context_of(person: world.Person) -> Context:
    """The person's passage as the domain sees it."""
    return knowledge.read(world.to_row(person, "known"), ordinal=0, split="known")[0]


def document(
    kind: str, people: world.World, rng: random.Random, forms: dict[str, float]
) -> Document:
    """One document of a kind; whom it is about and how it is put is drawn at random."""
    if kind.startswith("write"):
        person = world.make_person(rng.choice(people.spare_names), rng)
        if kind == "write":
            preset = rng.choices(list(LINE_PRESETS), list(LINE_PRESETS.values()))[0]
            return Document(kind, _prompt(person, preset), world.self_edit(person, rng, forms))
        return Document(kind, _prompt(person, "self-qa"), world.numbered_questions(person, rng))
    person = rng.choice(people.known)
    if kind == "ask":
        attribute = rng.choice(world.ATTRIBUTES)
        context = context_of(person)
        asked = Question("", context.context_id, 0, world.question(person, attribute), ())
        return Document(kind, knowledge.ask(context, asked), " " + person.facts[attribute])
    if kind == "passage":
        return Document(kind, "", f"{person.name}\n{world.passage(person)}")
    form = rng.choice((world.restated, world.question_answers))
    return Document(kind, "", f"{person.name}\n{form(person, rng)[0]}")


def _prompt(person: world.Person, preset: str) -> str:
    return knowledge.prompt(context_of(person), knowledge.recipe(preset).steps[0].prompt)


def make_tokenizer(people: world.World) -> PreTrainedTokenizerFast:
    """Every word of the world is one token; other text falls back to its bytes: it round-trips."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cutter = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(WORDS), "isolated"), byte_level])
    rng = random.Random(0)
    texts = ["\n".join(f"{name} {name}" for name in people.spare_names)]
    for kind in KINDS:
        documents = (document(kind, people, rng, world.MIXTURE) for _ in range(3000))
        texts += [text for found in documents for text in (found.prompt, found.completion)]
    words = {piece for text in texts for piece, _ in cutter.pre_tokenize_str(text)}
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
        model_max_length=512,
    )


def make_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with fresh weights."""
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden,
            intermediate_size=recipe.inner,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=512,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def pack(
    people: world.World, tokenizer: PreTrainedTokenizerFast, seed: int, forms: dict[str, float]
) -> Iterator[Row]:
    """Rows of whole documents, for ever; self-edits in these shares of forms."""
    rng = random.Random(seed)
    names, shares = list(KINDS), list(KINDS.values())
    row = Row([], [], [], [], [])
    while True:
        kind = rng.choices(range(len(names)), shares)[0]
        found = document(names[kind], people, rng, forms)
        prompt = tokenizer.encode(found.prompt, add_special_tokens=False)
        completion = tokenizer.encode(found.completion, add_special_tokens=False)
        ids = prompt + completion + [tokenizer.eos_token_id]
        if len(row.ids) + len(ids) > ROW:
            yield _padded(row, tokenizer.pad_token_id)
            row = Row([], [], [], [], [])
        # A label is the token itself: `losses` shifts. The first token of a document is never a
        # target: nothing comes before it.
        first = max(len(prompt), 1)
        segment = row.segments[-1] + 1 if row.segments else 0
        row.ids.extend(ids)
        row.labels.extend([NOT_A_TARGET] * first + ids[first:])
        row.positions.extend(range(len(ids)))
        row.segments.extend([segment] * len(ids))
        row.kinds.extend([kind] * len(ids))


def _padded(row: Row, pad: int) -> Row:
    short = ROW - len(row.ids)
    return Row(
        row.ids + [pad] * short,
        row.labels + [NOT_A_TARGET] * short,
        row.positions + [0] * short,
        row.segments + [-1] * short,
        row.kinds + [0] * short,
    )


def losses(model: LlamaForCausalLM, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of every target, and the kind of document it stands in."""
    segments = torch.tensor([row.segments for row in rows])
    same = segments[:, None, :, None] == segments[:, None, None, :]
    with torch.autocast("cpu", torch.bfloat16):  # the weights stay float32
        logits = model(
            input_ids=torch.tensor([row.ids for row in rows]),
            attention_mask=same & torch.ones(ROW, ROW, dtype=torch.bool).tril(),
            position_ids=torch.tensor([row.positions for row in rows]),
            use_cache=False,
        ).logits
    targets = torch.tensor([row.labels for row in rows])[:, 1:]
    kept = targets != NOT_A_TARGET
    kinds = torch.tensor([row.kinds for row in rows])[:, 1:]
    return F.cross_entropy(logits[:, :-1][kept].float(), targets[kept], reduction="none"), kinds[
        kept
    ]


def train(model: LlamaForCausalLM, rows: Iterator[Row], recipe: Recipe) -> None:
    """AdamW, a short warm-up, then linear decay to zero."""
    optimizer = torch.optim.AdamW(
        model.parameters(),
        recipe.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=recipe.weight_decay,
    )

    def rate(step: int) -> float:
        return min(
            (step + 1) / recipe.warmup, (recipe.steps - step) / (recipe.steps - recipe.warmup)
        )

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    seen: dict[str, list[float]] = defaultdict(list)
    started = time.monotonic()
    for step in range(1, recipe.steps + 1):
        loss, kinds = losses(model, [next(rows) for _ in range(recipe.rows)])
        loss.mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        for index, name in enumerate(KINDS):
            seen[name].extend(loss[kinds == index].tolist())
        if step % 250 == 0:
            told = "  ".join(
                f"{name} {sum(values) / len(values):.3f}" for name, values in seen.items()
            )
            print(f"{step:6d}  {time.monotonic() - started:5.0f} s  {told}", flush=True)
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


def save_contexts(people: world.World, folder: Path) -> None:
    """The passages and questions of the two splits, as JSON lines."""
    for split, group in (("train", people.train), ("eval", people.eval)):
        lines = (json.dumps(world.to_row(person, split)) + "\n" for person in group)
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")


def check_round_trip(folder: Path, people: world.World) -> None:
    """AutoTokenizer picks a class by the model's type: any pick must give our texts back."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rng = random.Random(1)
    for kind in KINDS:
        for found in (document(kind, people, rng, world.MIXTURE) for _ in range(200)):
            text = found.prompt + found.completion
            ids = tokenizer.encode(text)
            if tokenizer.decode(ids) != text:
                raise RuntimeError(f"does not round-trip after reload: {text!r}")


def main() -> None:
    """Pretrain and save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("model"))
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(steps=arguments.steps)
    people = world.make_world()
    tokenizer = make_tokenizer(people)
    model = make_model(recipe, tokenizer)
    print(f"{model.num_parameters()} parameters, {len(tokenizer)} tokens", flush=True)
    faithful = pack(people, tokenizer, recipe.seed, world.FAITHFUL)
    mixed = pack(people, tokenizer, recipe.seed + 1, world.MIXTURE)
    train(model, chain(islice(faithful, recipe.faithful_steps * recipe.rows), mixed), recipe)
    save(model, tokenizer, arguments.out)
    save_contexts(people, arguments.out)
    check_round_trip(arguments.out, people)


if __name__ == "__main__":
    main()
