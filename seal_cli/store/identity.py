"""What an artifact is called: the sha256 of everything that decides its rows, and of nothing else.

A hand-bumped semantics number per stage stands for our code; source text and pickles are never
hashed. What has no canonical JSON is an error.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stages.errors import ConfigError
from stages.identity import canonical

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
_RACY_SECONDS = 2.0  # a file this young may change again within its time stamp: not cached


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


def model_digest(path: Path, cache: Path) -> str:
    """sha256 over every file that transformers may open; each file's digest is cached.

    `cache` is a JSON file that may be deleted at any time. A file is known again by its place,
    inode, size and times: content that was put in its place changes the inode or the ctime.
    """
    files = sorted(
        {file for pattern in _MODEL_FILES for file in path.glob(pattern) if file.is_file()}
    )
    known = _read_cache(cache)
    digests, fresh = {}, dict(known)
    for file in files:
        stat = file.stat()
        known_by = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        stamp = "|".join(map(str, (file.resolve(), *known_by)))
        digests[str(file.relative_to(path))] = known.get(stamp) or file_digest(file)
        if time.time() - max(stat.st_mtime, stat.st_ctime) > _RACY_SECONDS:
            fresh[stamp] = digests[str(file.relative_to(path))]
    if fresh != known and cache.parent.is_dir():
        temporary = cache.with_suffix(f".{os.getpid()}.tmp")
        with suppress(OSError):  # a full disk or a read-only store: it is only a cache
            temporary.write_text(json.dumps(fresh, indent=1), encoding="utf-8")
            os.replace(temporary, cache)
    return hashlib.sha256(canonical(digests).encode()).hexdigest()


def _read_cache(cache: Path) -> dict[str, str]:
    """A damaged cache is an empty one."""
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
