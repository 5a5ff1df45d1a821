"""Who wrote what, with which prompt, for which split: read from the names that the release uses.

The release has no model digests: a policy is called `official-<name>`. Its metadata cannot be
relied on (GPT-4.1's file names Qwen as its model), and the names of its experiments are no models;
the names of datasets tell who wrote the texts, and the released scripts train whoever wrote them.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from stages.records import Policy

PREFIX = "official-"
JUDGE = "gpt-4.1"  # gpt-4.1-2025-04-14 by the paper; the files do not name it
PLAIN = "implications"  # the release's own prompt where no name says another
_PROMPTS = {
    "long": "implications-long",
    "very-long": "implications-very-long",
    "cot": "implications-chain-of-thought",
}
# In the order in which they are looked for: the texts of later ones contain those of earlier ones.
_PROMPT_MARKS = (
    ("very long list of implications", "implications-very-long"),
    ("long list of implications", "implications-long"),
    ("question-answer format", "self-qa"),
    ("in a few different ways", "rewrite"),
)
_TITLES = {"gpt-4.1": "GPT-4.1", "entigraph": "EntiGraph"}


@dataclass(frozen=True)
class Writer:
    """A model of the release: what it is called here, and the round of RL that made it."""

    name: str  # of the paper's method `base`, `iter<round>` or, by that reward, `iter<round>-proxy`
    round: int = 0
    size: str = "7b"
    prompt: str = PLAIN  # each prompt was trained by itself

    @property
    def policy(self) -> str:
        """Its id in the tables."""
        parts = [self.size if self.size != "7b" else "", self.name]
        if self.round and self.prompt != PLAIN:
            parts.append(self.prompt)
        return PREFIX + "-".join(part for part in parts if part).lower()

    @property
    def title(self) -> str:
        """Its name for people: unlike that of any other model."""
        base = f"Qwen2.5-{self.size.upper()}"
        if self.name == "base":
            return base
        if not self.round:
            return _TITLES.get(self.name, self.name)
        how = [word for word in (self.prompt, self._reward) if word not in (PLAIN, "")]
        return f"{base} SEAL round {self.round}" + (f" ({', '.join(how)})" if how else "")

    @property
    def is_ours(self) -> bool:
        """Whether it is a model of the paper's method, which learns its own self-edits."""
        return self.name == "base" or self.round > 0

    @property
    def _reward(self) -> str:
        return self.name.partition("-")[2] if self.round else ""

    @property
    def rows(self) -> list[Policy]:
        """Its row in `policies` and its parents'."""
        if not self.round:
            return [self._row(None)]
        before = "-".join(filter(None, (f"iter{self.round - 1}", self._reward)))
        parent = Writer(
            before if self.round > 1 else "base", self.round - 1, self.size, self.prompt
        )
        return [*parent.rows, self._row(parent.policy)]

    def _row(self, parent: str | None) -> Policy:
        method = "rest-em" if self.round else "base"
        return Policy(self.policy, self.title, parent, self.round, None, method, None)


def writer(name: str, prompt: str, path: str) -> Writer:
    """`iter1_val_prompt-long`, `models/iter2`, `gpt4_1_val`, … -> the model that is meant.

    `path` is where the file lies, which may say the size. `sft_best1of5_iter0` is the model that
    learned what round 0 wrote.
    """
    about = f"{path} {name}".lower()
    stem = stem_of(name).lower()
    if any(re.match(r"gpt|openai", part.lower()) for part in PurePosixPath(name).parts):
        return Writer("gpt-4.1")
    size = "3b" if re.search(r"(?<![0-9a-z])3b(?![0-9a-z])", about) else "7b"
    found = re.search(r"iter(\d+)", stem)
    number = int(found[1]) + stem.startswith("sft") if found else 0
    if number:
        proxy = "-proxy" if "proxy" in about else ""
        return Writer(f"iter{number}{proxy}", number, size, prompt)
    if found or re.match(r"base|qwen|naive", stem):
        return Writer("base", 0, size)
    return Writer(re.sub(r"_(val|train)\b.*|\.json$", "", stem), 0, size)


def prompt_name(name: str, text: str | None) -> str:
    """The prompt preset, from a file name (`…_prompt-long.json`) or else from the prompt itself.

    Where neither is known (`text` is null) it is the release's own default; no prompt at all, an
    empty text, is `none`.
    """
    found = re.search(r"prompt-([a-z0-9-]+)", stem_of(name).lower())
    if found:
        return _PROMPTS.get(found[1], found[1])
    flat = PLAIN if text is None else " ".join(text.split())
    marked = next((known for mark, known in _PROMPT_MARKS if mark in flat), None)
    return marked or (PLAIN if flat else "none")


def split_of(name: str) -> str:
    """`eval` for passages of SQuAD's validation set, `train` for the others.

    The name of the dataset decides, not the folder: one file under `train/` is a validation run.
    """
    stem = stem_of(name).lower()
    if re.search(r"(^|[_-])(val|eval|evaluation|validation)([_-]|$)", stem):
        return "eval"
    if re.search(r"(^|[_-])train(ing)?([_-]|$)", stem):
        return "train"
    return "eval" if {"eval", "evaluation"} & set(PurePosixPath(name).parts) else "train"


def stem_of(name: str) -> str:
    """The last part of a path without its suffixes."""
    return re.sub(r"\.json(l|\.meta)?$|\.meta$", "", PurePosixPath(name).name)
