"""How a policy is asked for a self-edit: in one step, or in several that build on each other.

A text file is a recipe of one step. A TOML file has a table `[[steps]]` for each, with the keys of
`Step`: a step may be asked once for each item that an earlier one listed, or for pairs or triples
of them (EntiGraph, arXiv 2409.07431; Active Reading, arXiv 2508.09494). Reads recipes and takes
texts apart; asks no model.
"""

import difflib
import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

from stages.errors import ConfigError
from stages.identity import digest

Split = Literal["lines", "blocks", "questions", "none"]
SPLITS: tuple[str, ...] = get_args(Split)
# What a chosen item is called in a prompt: one, two or three of them.
PLACES = {1: ("item",), 2: ("first", "second"), 3: ("first", "second", "third")}
MAX_STEPS, MAX_ITEMS, MAX_REQUESTS = 8, 50, 100
MAX_FILE = 200_000  # characters

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_-]*)\}")
_QUESTION = re.compile(r"\n(?=Question\s+\d+\s*:)")
_MARK = re.compile(r"^(?:[-*•]|\(?\d{1,3}[.):])\s+")


@dataclass(frozen=True, slots=True)
class Step:
    """One question to the policy; in a TOML file the keys of a `[[steps]]` table."""

    name: str
    prompt: str
    split: Split = "lines"  # where a text ends; blocks: at blank lines, questions: before each
    each: str | None = None  # an earlier step: the prompt is given once for every `choose` items
    choose: int = 1  # of its items at once
    most: int = 10  # of these choices, drawn by chance
    items: int = 20  # of its own texts that later steps draw from
    learn: bool = False  # whether its texts are trained on

    @property
    def places(self) -> tuple[str, ...]:
        """What the chosen items are called in the prompt."""
        return PLACES[self.choose] if self.each else ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe by name; `digest` is of all it says, comments aside."""

    name: str
    steps: tuple[Step, ...]
    digest: str

    @property
    def single(self) -> bool:
        """Whether one answer to one prompt is the whole self-edit."""
        return len(self.steps) == 1


def load(
    prompt: str, *, folder: Path, presets: Sequence[str], slots: Sequence[str], about: str
) -> Recipe:
    """A preset (`default`: the first), or a user's UTF-8 file: a recipe if it ends in .toml.

    `folder` holds `<preset>.txt` or `.toml`. `slots` are what a domain puts into prompts; the first
    of them, which stands for the `about`, has to be in the first prompt. Raises ConfigError for
    neither a preset nor a readable file, and for a recipe that cannot be followed.
    """
    if prompt in ("default", *presets):
        name = presets[0] if prompt == "default" else prompt
        path = folder / f"{name}.toml"
        path = path if path.is_file() else folder / f"{name}.txt"
    else:
        path = Path(prompt)
        if not path.is_file():
            raise ConfigError(
                f"no prompt {prompt!r}.",
                f"Presets: {', '.join(presets)}; or give a text file, or a recipe (.toml).",
            )
    text = _text(path)
    if path.suffix == ".toml":
        return parse(text, name=path.stem, place=f"recipe {path}", slots=slots)
    if f"{{{slots[0]}}}" not in text:
        raise ConfigError(
            f"prompt file {path} does not use the {about}.", f"Put {{{slots[0]}}} in it."
        )
    split: Split = "questions" if path.stem == "self-qa" else "lines"
    step = Step(name=path.stem, prompt=text, split=split, learn=True)
    return Recipe(path.stem, (step,), digest(text))


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompt file {path} is not UTF-8 text.", "Save it as UTF-8.") from error
    if len(text) > MAX_FILE:
        raise ConfigError(f"prompt file {path} has {len(text)} characters.", f"{MAX_FILE} at most.")
    return text


def parse(text: str, *, name: str, place: str, slots: Sequence[str]) -> Recipe:
    """The TOML of a recipe. Raises ConfigError, which names the `place`, for what it cannot be."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place} is not TOML: {error}.", "Correct it there.") from error
    unknown = next((key for key in tables if key != "steps"), None)
    if unknown is not None:
        raise ConfigError(
            f"{place} has the key {unknown!r:.50}.", "It has [[steps]] and nothing else."
        )
    given = tables.get("steps")
    if not isinstance(given, list) or not given or not all(isinstance(t, dict) for t in given):
        raise ConfigError(f"{place} has no steps.", "Write a table [[steps]] for each.")
    if len(given) > MAX_STEPS:
        raise ConfigError(f"{place} has {len(given)} steps.", f"{MAX_STEPS} at most.")
    # What the last step writes is learned, unless the recipe says which steps are.
    if not any("learn" in table for table in given):
        given[-1]["learn"] = True
    steps: list[Step] = []
    for number, table in enumerate(given, 1):
        where = f"{place}: step {table.get('name', number)!r:.50}"
        step = _step(table, where)
        _check_prompt(step, where, slots, steps)
        steps.append(step)
    if not any(step.learn for step in steps):
        raise ConfigError(f"{place} has no step to learn from.", "Set learn = true in one.")
    says = [[getattr(step, field.name) for field in fields(Step)] for step in steps]
    return Recipe(name, tuple(steps), digest("recipe", *[part for step in says for part in step]))


_KINDS = {"choose": int, "most": int, "items": int, "learn": bool}  # the others are texts
_BOUNDS = {"choose": (1, 3), "most": (1, MAX_REQUESTS), "items": (1, MAX_ITEMS)}


def _step(table: Mapping[str, Any], where: str) -> Step:
    """A step whose keys have the types and bounds they should."""
    known = [field.name for field in fields(Step)]
    for key, value in table.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Keys: {', '.join(known)}."
            raise ConfigError(f"{where} has an unknown key {key!r:.50}.", hint)
        kind = _KINDS.get(key, str)
        if type(value) is not kind:
            wanted = {str: "a text", int: "a whole number", bool: "true or false"}[kind]
            raise ConfigError(f"{where}: {key} is {value!r:.60}.", f"Give {wanted}.")
        low, high = _BOUNDS.get(key, (0, 0))
        if isinstance(value, int) and key in _BOUNDS and not low <= value <= high:
            raise ConfigError(f"{where}: {key} is {value}.", f"From {low} to {high}.")
    for key in ("name", "prompt"):
        if not table.get(key, "").strip():
            raise ConfigError(f"{where} has no {key}.", f"Give it a {key}.")
    if table.get("split", SPLITS[0]) not in SPLITS:
        raise ConfigError(
            f"{where}: split is {table['split']!r:.50}.", f"One of: {', '.join(SPLITS)}."
        )
    lone = next((key for key in ("choose", "most") if key in table and "each" not in table), None)
    if lone is not None:
        raise ConfigError(f"{where}: {lone} goes with each.", "Say of which step with each.")
    return Step(**table)


def _check_prompt(step: Step, where: str, slots: Sequence[str], before: Sequence[Step]) -> None:
    """The step's name is free, it builds on earlier steps, and its prompt uses what there is."""
    earlier = [one.name for one in before]
    reserved = {*slots, *(place for places in PLACES.values() for place in places)}
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", step.name):
        raise ConfigError(f"{where}: that is no name.", "Use a-z, 0-9 and hyphens, 40 at most.")
    if step.name in earlier or step.name in reserved:
        raise ConfigError(f"{where}: that name is taken.", "Give the step another.")
    if step.each is not None and step.each not in earlier:
        raise ConfigError(
            f"{where}: each is {step.each!r:.50}, which is no earlier step.",
            f"Earlier: {', '.join(earlier) or 'none'}.",
        )
    used = set(_PLACEHOLDER.findall(step.prompt))
    usable = [*slots, *earlier, *step.places]
    unknown = sorted(used - set(usable))
    if unknown:
        raise ConfigError(
            f"{where}: nothing stands for {{{unknown[0]}}} in its prompt.",
            f"Usable: {', '.join(f'{{{name}}}' for name in usable)}; or put a space in the braces.",
        )
    needed = step.places if before else slots[:1]
    missing = [name for name in needed if name not in used]
    if missing:
        raise ConfigError(f"{where}: its prompt lacks {{{missing[0]}}}.", "Put it in.")
    source = next((one for one in before if one.name == step.each), None)
    if source is not None and source.items < step.choose:
        raise ConfigError(
            f"{where} chooses {step.choose} of {source.items} items.",
            f"Raise items of {source.name!r}.",
        )


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with `{name}` replaced, in one go; other braces are left alone."""
    named = "|".join(re.escape(f"{{{name}}}") for name in values)
    return re.sub(named, lambda found: values[found[0][1:-1]], template)


def texts(written: str, split: str) -> list[str]:
    """What was written, taken apart and without blank parts.

    A first line that only announces a list ("Here are ...:", then "1. ...") is dropped, as the
    paper does for instruction-tuned models.
    """
    written = written.replace("\r\n", "\n").replace("\r", "\n")
    if split == "none":
        parts = [written]
    elif split == "blocks":
        parts = re.split(r"\n[^\S\n]*(?=\n)", written)
    else:
        parts = _QUESTION.split(written) if split == "questions" else written.split("\n")
    kept = [part.strip() for part in parts if part.strip()]
    if split in ("lines", "questions") and len(kept) > 1 and re.match(r"1\.\s", kept[1]):
        return kept[1:]
    return kept


def joined(documents: Sequence[str]) -> str:
    """Texts as one, each a block: blank lines within them go, so that `texts` finds them again."""
    return "\n\n".join(re.sub(r"\n\s*\n", "\n", document) for document in documents)


def items(step: Step, outputs: Sequence[str]) -> list[str]:
    """What a step listed: without list marks, each once, `step.items` at most."""
    found: dict[str, str] = {}
    for text in (text for output in outputs for text in texts(output, step.split)):
        bare = _MARK.sub("", text).strip()
        if bare and not bare.endswith(":"):  # such a line announces the list
            found.setdefault(bare.casefold(), bare)
    return list(found.values())[: step.items]


def chosen(step: Step, found: Sequence[str], seed: int) -> list[tuple[str, ...]]:
    """`step.most` of the ways to choose `step.choose` items, by the seed, in order of the items."""
    ways = list(combinations(found, step.choose))
    if len(ways) <= step.most:
        return ways
    return [ways[i] for i in sorted(random.Random(seed).sample(range(len(ways)), step.most))]
