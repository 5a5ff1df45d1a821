"""Who wrote what, with which prompt, for which split: read from the names that the release uses.

The release has no model digests: a policy is called `official-<name>`. Its metadata cannot be
relied on (GPT-4.1's file names Qwen as its model), the names of datasets can.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from stages.records import Policy

PREFIX = "official-"
JUDGE = "gpt-4.1"  # gpt-4.1-2025-04-14 by the paper; the files do not name it
_PROMPTS = {
    "long": "implications-long",
    "very-long": "implications-very-long",
    "implications-long": "implications-long",
    "implications-very-long": "implications-very-long",
    "rewrite": "rewrite",
    "self-qa": "self-qa",
    "none": "none",
    "implications-chain-of-thought": "implications-chain-of-thought",
    "cot": "implications-chain-of-thought",
}
# In the order in which they are looked for: the texts of later ones contain those of earlier ones.
_PROMPT_MARKS = (
    ("very long list of implications", "implications-very-long"),
    ("long list of implications", "implications-long"),
    ("question-answer format", "self-qa"),
    ("in a few different ways", "rewrite"),
)


@dataclass(frozen=True)
class Writer:
    """A model of the release: what it is called here, and the round of RL that made it."""

    name: str
    round: int = 0
    size: str = "7b"
    prompt: str = "implications"  # each prompt was trained by itself

    @property
    def policy(self) -> str:
        """Its id in the tables."""
        parts = [self.size if self.size != "7b" else "", self.name]
        if self.round and self.prompt != "implications":
            parts.append(self.prompt)
        return PREFIX + "-".join(part for part in parts if part)

    @property
    def rows(self) -> list[Policy]:
        """Its row in `policies` and its parents'."""
        if not self.round:
            known = {"base": f"Qwen2.5-{self.size.upper()}", "gpt-4.1": "GPT-4.1"}
            return [self._row(known.get(self.name, self.name), None)]
        before = f"iter{self.round - 1}" if self.round > 1 else "base"
        parent = Writer(before, self.round - 1, self.size, self.prompt)
        return [*parent.rows, self._row(f"SEAL round {self.round}", parent.policy)]

    def _row(self, name: str, parent: str | None) -> Policy:
        method = "rest-em" if self.round else "base"
        return Policy(self.policy, name, parent, self.round, None, method, None)  # type: ignore[arg-type]


def writer(name: str, prompt: str, path: str) -> Writer:
    """`iter1_val_prompt-long`, `models/iter2`, `gpt4_1_val`, … -> the model that is meant."""
    stem = stem_of(name).lower()
    size = "3b" if re.search(r"(?<![0-9a-z])3b(?![0-9a-z])", f"{path} {name}".lower()) else "7b"
    if re.match(r"gpt|openai", stem):
        return Writer("gpt-4.1")
    found = re.search(r"iter(\d+)", stem)
    if found and int(found[1]):
        proxy = "-proxy" if "proxy" in f"{path} {name}".lower() else ""
        return Writer(f"iter{found[1]}{proxy}", int(found[1]), size, prompt)
    if found or re.match(r"base|qwen", stem):
        return Writer("base", 0, size)
    plain = re.sub(r"_(val|train)\b.*|\.json$", "", stem)
    return Writer("base" if plain == "naive" else plain, 0, size)


def prompt_name(name: str, text: str) -> str:
    """The prompt preset, from a file name (`…_prompt-long.json`) or else from the prompt itself."""
    found = re.search(r"prompt-([a-z-]+)", stem_of(name))
    if found and found[1] in _PROMPTS:
        return _PROMPTS[found[1]]
    flat = " ".join(text.split())
    marked = next((known for mark, known in _PROMPT_MARKS if mark in flat), None)
    return marked or ("implications" if flat else "none")  # the release's own default


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
