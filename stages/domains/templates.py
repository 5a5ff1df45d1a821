"""The text of a prompt: a preset that comes with a domain, or a user's file. Fills in nothing."""

from collections.abc import Sequence
from pathlib import Path

from stages.errors import ConfigError


def template(
    prompt: str, *, folder: Path, presets: Sequence[str], slot: str, about: str
) -> tuple[str, str]:
    """(name, text) of a preset (`default`: the first), or of a UTF-8 file with `slot` in it.

    `folder` holds `<preset>.txt`; `about` is what the slot stands for, for the message.

    Raises:
        ConfigError: neither a preset nor a readable file, or the slot is missing.

    """
    if prompt in ("default", *presets):
        name = presets[0] if prompt == "default" else prompt
        return name, (folder / f"{name}.txt").read_text(encoding="utf-8")
    path = Path(prompt)
    if not path.is_file():
        raise ConfigError(
            f"no prompt {prompt!r}.", f"Presets: {', '.join(presets)}; or give a text file."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompt file {path} is not UTF-8 text.", "Save it as UTF-8.") from error
    if slot not in text:
        raise ConfigError(f"prompt file {path} does not use the {about}.", f"Put {slot} in it.")
    return path.stem, text
