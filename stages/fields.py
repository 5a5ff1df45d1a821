"""What a configuration is made of: frozen, checked when built, its defaults in the fields.

A field carries its help text and bounds, so that the command line, the TOML file and the
environment (`seal_cli.settings`) all derive from it. Fields marked volatile (how, not what) stay
out of an artifact's key: batch sizes and devices do not change what a stage means.
"""

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from stages.errors import ConfigError


def option(
    default: Any,
    text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    volatile: bool = False,
    elsewhere: bool = False,
    shown: str = "",
) -> Any:
    """A dataclass field with what every front end needs to offer it.

    `volatile`: how, not what. `elsewhere`: a run holds what it stands for in a field of its own.
    Neither is in a key. `shown`: what help says of a default that is not a constant.
    """
    return field(
        default=default,
        compare=not (volatile or elsewhere),
        metadata={
            "help": text,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "volatile": volatile,
            "shown": shown,
        },
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all: checks bounds and choices, and tells what belongs in the key."""

    SECTION: ClassVar[str]  # its table in a settings file

    # Read by seal_cli.settings; pydantic is not needed here.
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "coerce_numbers_to_str": True,  # slots = 8
    }

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None:
                continue
            low, high, choices = (item.metadata[k] for k in ("minimum", "maximum", "choices"))
            name = item.name.replace("_", "-")
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name} is {value}.", "Give a finite number.")
            if choices and value not in choices:
                raise ConfigError(f"{name} is {value!r}.", f"Choose one of: {', '.join(choices)}.")
            if low is not None and not value >= low:
                raise ConfigError(f"{name} is {value}.", f"It must be at least {low}.")
            if high is not None and not value <= high:
                raise ConfigError(f"{name} is {value}.", f"It must be at most {high}.")

    def key(self) -> dict[str, Any]:
        """The fields that decide what comes out and are nowhere else in a run."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.compare}

    def shown(self) -> dict[str, Any]:
        """All that was settled: what is volatile aside."""
        known = (item.name for item in fields(self) if not item.metadata["volatile"])
        return {name: getattr(self, name) for name in known}
