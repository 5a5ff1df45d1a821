"""What an artifact is called: the sha256 of everything that decides its rows, and of nothing else.

A hand-bumped semantics number per stage stands for our code; source text and pickles are never
hashed. What has no canonical JSON is an error.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from seal_cli.store.files import Damaged, Digests
from stages.errors import ConfigError, InputError
from stages.identity import canonical

ID = re.compile(r"[a-z]+-[0-9a-f]{16}(-s[1-9]\d{0,5}of[1-9]\d{0,5})?")  # a shard's has the end
# Every file that transformers may open in a model's folder; what is left are words and pictures.
_MODEL_FILES = (
    "*.safetensors",
    "*.json",  # config, tokenizer, index of the shards, and an adapter that is applied unasked
    "*.jinja",
    "*.txt",
    "*.model",
    "*.tiktoken",
    "tokenizer*",
    "vocab*",
    "merges*",
    "chat_templates/*",
    "additional_chat_templates/*",
)


def artifact_id(stage: str, material: dict[str, Any]) -> str:
    """`<stage>-<16 hex digits>`. Raises ConfigError for what cannot be hashed."""
    try:
        text = canonical({"stage": stage} | material)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the key of {stage} cannot be computed: {error}.",
            "Use plain numbers and texts in the configuration.",
        ) from error
    return f"{stage}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def file_digest(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_digest(files: Iterable[tuple[str, Path]]) -> str:
    """sha256 over (name, file) pairs by content: where a file lies does not count."""
    entries = [(name, file_digest(path)) for name, path in files]
    return hashlib.sha256(canonical(entries).encode("utf-8", "surrogatepass")).hexdigest()


def model_files(path: Path) -> dict[str, Path]:
    """Every file that transformers may open in a model's folder, by its name there."""
    files = {file for pattern in _MODEL_FILES for file in path.glob(pattern) if not file.is_dir()}
    return {file.relative_to(path).as_posix(): file for file in sorted(files)}


def model_digest(path: Path, digests: Digests) -> str:
    """sha256 over the files of a model by content: a link of the hub's cache is what it leads to.

    Raises:
        InputError: one of them cannot be read.

    """
    found = {}
    for name, file in model_files(path).items():
        try:
            _, found[name] = digests.of(file.resolve())
        except Damaged as error:
            raise InputError(f"{file} cannot be read: {error}.", "Copy the model again.") from error
    return hashlib.sha256(canonical(found).encode("utf-8", "surrogatepass")).hexdigest()
