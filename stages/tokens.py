"""Text to token ids and back to text for training rows: prompts and completions tokenised apart.

Labels come from lengths, never from searching for token ids; every row has exactly one begin token
if the tokenizer uses one. Decoding is the engines' business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.errors import ConfigError, InputError
from stages.records import Example
from stages.templates import Refused, rendered


@dataclass(frozen=True, slots=True)
class Row:
    """One training sequence: `ids[first_target:]` are learned, `ids[n_real:]` are padding.

    Padding positions are hidden from attention; they are targets only where the caller asked for
    the released code's behaviour (`official`).
    """

    ids: tuple[int, ...]
    first_target: int
    n_real: int
    cut: bool = False  # whether text was lost at the longest length
    weight: float = 1.0  # of its targets in the loss

    @property
    def n_targets(self) -> int:
        """Targets that the causal shift leaves: the first token has nothing before it."""
        return len(self.ids) - max(self.first_target, 1)


def begin_ids(tokenizer: Any) -> list[int]:
    """The begin token the tokenizer puts before a text by itself, as a list of none or one."""
    bos = tokenizer.bos_token_id
    special = tokenizer("", add_special_tokens=True)["input_ids"]
    return [bos] if bos is not None and list(special[:1]) == [bos] else []


def encode(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text that starts a sequence: one begin token, also if a chat template wrote it."""
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    begin = begin_ids(tokenizer)
    return ids if ids[:1] == begin else begin + ids


def plain(prompt: str, system: str = "") -> str:
    """The prompt as it is; a system message stands before it, a blank line between."""
    return f"{system}\n\n{prompt}" if system else prompt


def render(tokenizer: Any, prompt: str, system: str = "", *, chat: bool) -> str:
    """The prompt as the model expects it: inside its chat template, or as it is.

    Raises:
        ConfigError: the chat template takes no system message.
        InputError: the chat template cannot be used.

    """
    return render_all(tokenizer, [(prompt, system)], chat=chat)[0]


def render_all(tokenizer: Any, asked: Sequence[tuple[str, str]], *, chat: bool) -> list[str]:
    """Prompts, each with its system message, as `render` gives them."""
    if not chat:
        return [plain(prompt, system) for prompt, system in asked]
    chats = [
        [{"role": role, "content": text} for role, text in (("system", system), ("user", prompt))]
        for prompt, system in asked
    ]
    chats = [chat if system else chat[1:] for chat, (_, system) in zip(chats, asked, strict=True)]
    try:
        return rendered(_template(tokenizer), tokenizer.special_tokens_map, chats)
    except Refused as error:
        if not any(system for _, system in asked):
            raise
        raise ConfigError(
            f"{error.message.rstrip('.')}: it may take no system message.",
            "Use --no-system-message, or --chat off.",
        ) from error


def _template(tokenizer: Any) -> str:
    """The chat template that transformers would choose. Raises InputError."""
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:
        raise InputError(f"{error}".splitlines()[0], "Use --chat off.") from error
    if not isinstance(template, str):
        raise InputError("the model's chat template is no text.", "Use --chat off.")
    return template


def row(tokenizer: Any, example: Example, *, max_length: int, pad_targets: str = "eos") -> Row:
    """One example as ids, cut at `max_length` tokens.

    `pad_targets`: `eos` ends the row with one end token as its last target, `none` does not,
    `official` fills it up to `max_length` with end tokens as targets, as the released code does.
    """
    prompt = encode(tokenizer, example.prompt) if example.prompt else begin_ids(tokenizer)
    ids = prompt + list(tokenizer(example.completion, add_special_tokens=False)["input_ids"])
    eos = tokenizer.eos_token_id
    if pad_targets == "eos" and example.ends and eos is not None:
        ids.append(eos)
    cut = len(ids) > max_length
    ids = ids[:max_length]
    n_real = len(ids)
    if pad_targets == "official":
        ids += [eos] * (max_length - n_real)
    first_target = len(begin_ids(tokenizer)) if example.learns_prompt else len(prompt)
    return Row(tuple(ids), first_target=first_target, n_real=n_real, cut=cut)


def learnable(rows: Sequence[Row]) -> list[Row]:
    """The rows that have at least one target."""
    return [row for row in rows if row.n_targets > 0]
