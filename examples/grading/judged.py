"""The judged answers of the SEAL release, with the kind of model that gave each."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

UNADAPTED = "unadapted"
# The first mark that a file's name has says who wrote what its models were adapted by.
_WRITERS = {
    "naive": "passage only",
    "gpt4_1": "GPT-4.1's edits",
    "openai": "GPT-4.1's edits",
    "enti": "EntiGraph",
    "generative": "generative adapter",
    "": "own self-edits",
}
KINDS = (UNADAPTED, *dict.fromkeys(_WRITERS.values()))
# Its verdicts on unadapted answers are not about the texts that it stores: right answers are
# rejected and wrong ones accepted, and no grader agrees with more than two thirds of them.
_UNUSABLE = "cot-eval.json"


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer and GPT-4.1's verdict. Accuracy is a mean over the units of a file."""

    file: str
    regime: str  # single or cpt
    kind: str
    unit: int  # its passage (single), its question (cpt)
    passage: int
    question: str
    gold: str
    answer: str
    correct: bool


def read(roots: Sequence[Path]) -> Iterator[Judged]:
    """Every judged answer under folders of the release, each with `general-knowledge/` inside."""
    folders = [root / "general-knowledge" for root in roots]
    squad: list[dict[str, Any]] = []
    for path in (folder / "data/squad_val.json" for folder in folders):
        squad = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else squad
    for folder in folders:
        for path in sorted((folder / "results/query_server").rglob("*.json")):
            yield from _single(path, str(path.relative_to(folder / "results/query_server")))
        for path in sorted((folder / "results/cpt").rglob("*.json")):
            yield from _cpt(path, str(path.relative_to(folder / "results")), squad)


def _single(path: Path, name: str) -> Iterator[Judged]:
    for unit, article in enumerate(json.loads(path.read_text(encoding="utf-8"))["articles"]):
        passage = _digest(article["context"])
        for asked in (q for c in article["completions"] for q in c["questions"]):
            for who in ("baseline", "adapter"):
                if who == "baseline" and path.name == _UNUSABLE:
                    continue
                row = asked["question"], asked["answer"], asked[f"{who}_answer"]
                kind = _kind(path, who)
                yield Judged(name, "single", kind, unit, passage, *row, asked[f"{who}_correct"])


def _cpt(path: Path, name: str, squad: list[dict[str, Any]]) -> Iterator[Judged]:
    data = json.loads(path.read_text(encoding="utf-8"))
    found = data.get("per_question") or data["server_reply"]
    asked = _asked(squad, data["n_articles"])
    if "per_question" in data:
        # Not the seed that `args` record: all say 43, and only this one was drawn with it.
        random.Random(43 if "generative" in path.name else 42).shuffle(asked)
    for who in ("baseline", "adapter"):
        pairs = zip(found[f"{who}_texts"] or (), found[f"{who}_correct"] or (), strict=True)
        for unit, (answer, correct) in enumerate(pairs):
            passage, question, gold = asked[unit]
            kind = _kind(path, who)
            yield Judged(name, "cpt", kind, unit, passage, question, gold, answer, correct)


def _asked(squad: list[dict[str, Any]], n_passages: int) -> list[tuple[int, str, str]]:
    """The questions about the first of the passages as they were shuffled."""
    passages = list(squad)
    random.Random(42).shuffle(passages)
    return [
        (_digest(passage["context"]), asked["question"], asked["answer"])
        for passage in passages[:n_passages]
        for asked in passage["questions"]
    ]


def _kind(path: Path, who: str) -> str:
    if who == "baseline":
        return UNADAPTED
    return next(writer for mark, writer in _WRITERS.items() if mark in path.name)


def _digest(passage: str) -> int:
    return crc32(passage.strip().encode())
