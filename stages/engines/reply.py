"""What a server's answers say, once the openai library has parsed them: any JSON may be in them."""

from dataclasses import dataclass
from typing import Any

_MOST_TOKENS = 2**31  # of one request


@dataclass
class Usage:
    """What an engine did: answers paid for and found, requests sent in vain, tokens as reported."""

    answered: int = 0
    found: int = 0
    in_vain: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Everything that is paid for."""
        return self.prompt_tokens + self.completion_tokens

    def __str__(self) -> str:
        said = f"{self.answered} requests answered, {self.tokens} tokens"
        said += f"; {self.found} answers were there already" if self.found else ""
        return said + (f"; {self.in_vain} requests in vain" if self.in_vain else "")


@dataclass(frozen=True, slots=True)
class Reply:
    """The first choice of an answer; `text` is None where the model wrote none."""

    text: str | None
    finish: Any
    refusal: Any


def usage_of(answer: Any) -> tuple[int | None, int | None]:
    """Tokens of the prompt and of the text, where the server reports them. Raises ValueError."""
    usage = getattr(answer, "usage", None)
    return _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")


def _count(usage: Any, name: str) -> int | None:
    value = getattr(usage, name, None)
    if value is None or (type(value) is int and 0 <= value <= _MOST_TOKENS):
        return value
    raise ValueError(f"its {name} are no number of tokens")


def reply_of(answer: Any, *, chat: bool) -> Reply:
    """The first choice. Raises ValueError when there is none, or its text is no text."""
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise ValueError("there is no choice in it")
    holder: Any = getattr(choices[0], "message", None) if chat else choices[0]
    if not hasattr(holder, "content" if chat else "text"):
        raise ValueError("there is no text in its choice")
    text = holder.content if chat else holder.text
    if not isinstance(text, str):
        text = None
    else:
        text.encode()  # UnicodeEncodeError is a ValueError: half of a surrogate pair is no text
    finish = getattr(choices[0], "finish_reason", None)
    return Reply(text, finish, getattr(holder, "refusal", None))
