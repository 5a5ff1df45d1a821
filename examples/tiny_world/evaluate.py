"""Measure a tiny model: what it knows, what each form of self-edit is worth, what RL would gain.

    OMP_NUM_THREADS=1 python evaluate.py forms --model model
    OMP_NUM_THREADS=1 python evaluate.py rehearse --model model --seed 1

Used to choose the recipe and `seal.toml`. It sees known people and people of the train split, never
the eval split. Every figure is the share of generated greedy answers equal to the gold value.
`rehearse` is the RL loop in small, written apart from the tool, so that a disagreement between the
two would show; its figures are not the ones to report.
"""

import argparse
import random
import re
import statistics
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import world
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from stages.config import AdaptConfig, GenerateConfig, LoraConfig, ScoreConfig, UpdateConfig
from stages.domains import knowledge
from stages.records import Context, Question

SHIPPED = Path(__file__).parents[2] / "seal_cli/tiny"
JUDGED_FROM = (
    60  # people of the train split from here on are measured; rehearsals learn on the others
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The tables of `seal.toml` that matter here."""

    generate: GenerateConfig
    adapt: AdaptConfig
    score: ScoreConfig
    update: UpdateConfig
    contexts: int  # per round

    @staticmethod
    def read(path: Path) -> "Settings":
        """From a `seal.toml`."""
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return Settings(
            GenerateConfig(**table["generate"]),
            AdaptConfig(**table["adapt"]),
            ScoreConfig(**table["score"]),
            UpdateConfig(**table["update"]),
            table["loop"]["limit"],
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A passage with its questions."""

    context: Context
    questions: list[Question]


Row = tuple[list[int], list[int]]  # tokens of a prompt, tokens of a completion


@dataclass(frozen=True, slots=True)
class Lab:
    """A model with its tokenizer and settings, and the few things done with them."""

    model: Any  # transformers' classes have no types to speak of
    tokenizer: PreTrainedTokenizerBase
    settings: Settings

    def encode(self, text: str) -> list[int]:
        """Tokens, and none that the text does not have."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def complete(self, model: Any, prompts: list[str], length: int, *, sample: bool) -> list[str]:
        """Completions of the prompts in one left-padded batch; greedy unless `sample`."""
        batch = self.tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
        chosen = self.settings.generate
        how = {
            "do_sample": True,
            "temperature": chosen.temperature,
            "top_p": chosen.top_p,
            "top_k": 0,
        }
        out = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=length,
            **(how if sample else {"do_sample": False}),
        )
        written = out[:, batch["input_ids"].shape[1] :]
        return list(self.tokenizer.batch_decode(written, skip_special_tokens=True))

    def self_edits(self, tasks: list[Task], samples: int) -> list[list[str]]:
        """`samples` self-edits per task, sampled as `seal generate` does."""
        template = knowledge.recipe(self.settings.generate.prompt).steps[0].prompt
        prompts = [
            knowledge.prompt(task.context, template) for task in tasks for _ in range(samples)
        ]
        texts = self.complete(self.model, prompts, self.settings.generate.max_tokens, sample=True)
        return [texts[i : i + samples] for i in range(0, len(texts), samples)]

    def accuracy(self, model: Any, task: Task) -> float:
        """The share of the task's questions answered right."""
        prompts = [knowledge.ask(task.context, question) for question in task.questions]
        answers = self.complete(model, prompts, self.settings.score.answer_tokens, sample=False)
        pairs = zip(answers, task.questions, strict=True)
        return statistics.mean(
            normal(knowledge.answer(text)) in map(normal, question.answers)
            for text, question in pairs
        )


class Bench:
    """One LoRA on a frozen model, wiped between self-edits: as good as a fresh one, and cheaper."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.peft = get_peft_model(lab.model, peft_config(lab.settings.adapt))
        self.weights = [weight for weight in self.peft.parameters() if weight.requires_grad]

    def accuracy(self, task: Task, self_edit: str | None, seed: int) -> float:
        """Accuracy on the task once trained on the self-edit (None: on the passage alone)."""
        chosen = self.lab.settings.adapt
        if self_edit is None:
            examples = knowledge.passage_lessons(task.context)
        elif self_edit.strip():
            examples = knowledge.lessons(
                task.context, self_edit, "implications", limit=chosen.max_sequences
            )
        else:
            return self.lab.settings.score.reward_floor
        end = self.lab.tokenizer.eos_token_id
        rows: list[Row] = [
            ([], [*self.lab.encode(example.completion), end]) for example in examples
        ]
        self._wipe(seed)
        fit(self.peft, self.weights, rows, chosen, seed)
        return self.lab.accuracy(self.peft, task)

    def close(self) -> None:
        """Take the LoRA off the model again."""
        self.peft.unload()

    def _wipe(self, seed: int) -> None:
        torch.manual_seed(seed)
        for name, weight in self.peft.named_parameters():
            if "lora_A" in name:
                torch.nn.init.kaiming_uniform_(weight, a=5**0.5)
            elif "lora_B" in name:
                torch.nn.init.zeros_(weight)


def peft_config(chosen: LoraConfig) -> PeftConfig:
    """The LoRA as PEFT wants it."""
    return PeftConfig(
        r=chosen.rank, lora_alpha=chosen.alpha, target_modules=chosen.targets, task_type="CAUSAL_LM"
    )


def normal(text: str) -> str:
    """Lower case, without articles and punctuation."""
    return re.sub(r"\b(a|an|the)\b|[^\w]", " ", text.lower()).strip()


def fit(
    model: Any,
    weights: Sequence[torch.nn.Parameter],
    rows: list[Row],
    chosen: LoraConfig,
    seed: int,
) -> None:
    """AdamW with linear decay to zero over rows of (prompt, completion), reshuffled every epoch."""
    rng = random.Random(seed)
    optimizer = torch.optim.AdamW(weights, chosen.learning_rate, weight_decay=0.0)
    batches = -(-len(rows) // chosen.batch_size)
    total = chosen.epochs * batches
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / total)
    model.train()
    for _ in range(chosen.epochs):
        shuffled = rng.sample(rows, len(rows))
        for start in range(0, len(rows), chosen.batch_size):
            step_loss(model, shuffled[start : start + chosen.batch_size]).backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.eval()


def step_loss(model: Any, rows: list[Row]) -> torch.Tensor:
    """Mean loss over the completions of a right-padded batch."""
    longest = max(len(prompt) + len(completion) for prompt, completion in rows)
    ids, labels, mask = [], [], []
    for prompt, completion in rows:
        short = [0] * (longest - len(prompt) - len(completion))
        ids.append(prompt + completion + short)
        labels.append([-100] * len(prompt) + completion + [-100] * len(short))
        mask.append([1] * (longest - len(short)) + short)
    loss: torch.Tensor = model(
        input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), labels=torch.tensor(labels)
    ).loss
    return loss


def tasks_of(people: Sequence[world.Person]) -> list[Task]:
    """The people's passages and questions, read as an import would."""
    rows = [world.to_row(person, "train") for person in people]
    return [Task(*knowledge.read(row, ordinal=i, split="train")) for i, row in enumerate(rows)]


def update(lab: Lab, kept: list[tuple[Task, str]], seed: int) -> Lab:
    """The policy finetuned on the kept self-edits with a LoRA, which is merged."""
    torch.manual_seed(seed)
    model = get_peft_model(lab.model, peft_config(lab.settings.update))
    template = knowledge.recipe(lab.settings.generate.prompt).steps[0].prompt
    end = lab.tokenizer.eos_token_id
    rows = [
        (lab.encode(knowledge.prompt(task.context, template)), [*lab.encode(text), end])
        for task, text in kept
    ]
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    fit(model, weights, rows, lab.settings.update, seed)
    return replace(lab, model=model.merge_and_unload())


def mixture(lab: Lab, tasks: list[Task], seed: int) -> tuple[list[float], Counter[str]]:
    """Accuracy per task after one sampled self-edit each, and the forms that came up."""
    torch.manual_seed(seed)
    texts = [texts[0] for texts in lab.self_edits(tasks, 1)]
    bench = Bench(lab)
    scores = [bench.accuracy(task, text, seed) for task, text in zip(tasks, texts, strict=True)]
    bench.close()
    return scores, Counter(map(world.form_of, texts))


def best_samples(lab: Lab, tasks: list[Task], seed: int) -> list[tuple[Task, str]]:
    """Of each task's samples the one that earned most; the first of several."""
    torch.manual_seed(seed)
    sampled = lab.self_edits(tasks, lab.settings.generate.samples)
    bench = Bench(lab)
    kept = []
    for task, texts in zip(tasks, sampled, strict=True):
        rewards = [bench.accuracy(task, text, seed + i) for i, text in enumerate(texts)]
        kept.append((task, texts[rewards.index(max(rewards))]))
    bench.close()
    return kept


def report_forms(lab: Lab, people: world.World, number: int, seed: int) -> None:
    """What the model knows, and what the passage and each form of self-edit are worth."""
    known, new = (
        tasks_of(people.known[:50]),
        tasks_of(people.train[JUDGED_FROM : JUDGED_FROM + number]),
    )
    print(f"known people      {mean([lab.accuracy(lab.model, task) for task in known])}")
    print(f"unadapted         {mean([lab.accuracy(lab.model, task) for task in new])}")
    torch.manual_seed(seed)
    sampled = lab.self_edits(new, 12)
    shares = Counter(world.form_of(text) for texts in sampled for text in texts)
    bench = Bench(lab)
    started = time.monotonic()
    print(f"passage only      {mean([bench.accuracy(task, None, seed) for task in new])}")
    for form in world.MIXTURE:
        found = [
            (task, next((text for text in texts if world.form_of(text) == form), None))
            for task, texts in zip(new, sampled, strict=True)
        ]
        scores = [bench.accuracy(task, text, seed) for task, text in found if text is not None]
        print(f"{form:17s} {mean(scores)}   share {shares[form] / shares.total():.2f}", flush=True)
    scores = [
        bench.accuracy(task, texts[0], seed) for task, texts in zip(new, sampled, strict=True)
    ]
    bench.close()
    print(f"mixture           {mean(scores)}   {time.monotonic() - started:.0f} s in all")


def rehearse(lab: Lab, people: world.World, number: int, seed: int) -> None:
    """Two rounds of ReST-EM; the mixture on people it does not learn on, before and after each."""
    judged = tasks_of(people.train[JUDGED_FROM : JUDGED_FROM + number])
    learned = tasks_of(people.train[:JUDGED_FROM])
    before, forms = mixture(lab, judged, seed)
    print(f"seed {seed}  before   {mean(before)}  {dict(forms)}", flush=True)
    for turn in (1, 2):
        started = time.monotonic()
        first = (turn - 1) * lab.settings.contexts
        kept = best_samples(lab, learned[first : first + lab.settings.contexts], 1000 * seed + turn)
        lab = update(lab, kept, seed)
        seconds = time.monotonic() - started
        after, forms = mixture(lab, judged, seed + turn)
        chosen = dict(Counter(world.form_of(text) for _, text in kept))
        print(
            f"seed {seed}  round {turn}  {mean(after)}  {dict(forms)}"
            f"  kept {chosen}  {seconds:.0f} s"
        )
        gains = [new - old for new, old in zip(after, before, strict=True)]
        print(f"        gain     {mean(gains)}", flush=True)


def mean(values: Sequence[float]) -> str:
    """Mean, half a 95 % interval, and the number of values."""
    if len(values) < 2:
        return f"- ({len(values)})"
    half = 1.96 * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):.3f} ± {half:.3f} ({len(values)})"


def main() -> None:
    """Run one of the two measurements."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("forms", "rehearse"))
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--settings", type=Path, default=SHIPPED / "seal.toml")
    parser.add_argument("--people", type=int, default=30, help="how many new people to measure on")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lab = Lab(
        AutoModelForCausalLM.from_pretrained(arguments.model).eval(),
        AutoTokenizer.from_pretrained(arguments.model),
        Settings.read(arguments.settings),
    )
    run = {"forms": report_forms, "rehearse": rehearse}[arguments.what]
    run(lab, world.make_world(), arguments.people, arguments.seed)


if __name__ == "__main__":
    main()
