"""What a model's folder may hold before any library opens it: data, in files that end, and no code.

transformers runs Python that a checkpoint names, and loads kernels from the hub by a name in its
configuration; neither is ever wanted here, whatever switch might stop it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.errors import InputError

# What `attn_implementation`, `experts_implementation` and their kin may say; other names are, or
# fall back to, kernels of the hub.
IMPLEMENTATIONS = (None, "eager", "sdpa", "flex_attention", "batched_mm", "grouped_mm")
# Whether a file can have such a key; JSON may spell any letter as an escape.
_SUSPECT = re.compile(rb"auto_map|_implementation|\\u00[2-7]")
# Numbers of parts that are made before the weights are looked at; a layer has a tensor or more.
_COUNTED = re.compile(r"n(?:um)?_(?:\w+_)?(layers?|labels|experts|heads?|blocks|groups)")
_MOST = 20_000


def check_files(folder: Path) -> None:
    """Raise InputError for code that a JSON file names, or a file that is no regular one."""
    for path in sorted(folder.rglob("*")):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{path} is no regular file.", "Copy the model again.")
        if path.suffix == ".json" and path.is_file():
            _check_json(path)


def _check_json(path: Path) -> None:
    content = path.read_bytes()
    if _SUSPECT.search(content) is None:
        return
    try:
        for key, value in _pairs(json.loads(content)):
            if key == "auto_map":
                raise InputError(
                    f"{path} brings its own Python code (auto_map), which is never run.",
                    "Use a model of an architecture that transformers knows.",
                )
            if key.endswith(("_implementation", "_implementation_internal")):
                _check_implementation(path, key, value)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}.", "Copy the model again.") from error


def _check_implementation(path: Path, key: str, value: Any) -> None:
    """Raise InputError for what is none of transformers' own."""
    names = list(value.values()) if isinstance(value, dict) else [value]
    strange = [name for name in names if name not in IMPLEMENTATIONS]
    if strange:
        raise InputError(
            f"{path} wants {key} {strange[0]!r}, which may load code from the hub.",
            f"Remove the key, or use one of: {', '.join(filter(None, IMPLEMENTATIONS))}.",
        )


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of every object in a JSON value, with what it holds."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield from found.items()
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def check_counts(folder: Path, config: dict[str, Any], n_tensors: int) -> None:
    """Raise InputError for parts beyond reason: a library would make them one by one, for ever."""
    for key, value in _pairs(config):
        found = _COUNTED.fullmatch(key)
        if found is None or not isinstance(value, int | float):
            continue
        most = n_tensors if found[1].startswith("layer") else _MOST
        if value > most:
            raise InputError(
                f"{folder / 'config.json'} has {key} {value:g}, and {n_tensors} tensors.",
                "Copy the model again.",
            )
