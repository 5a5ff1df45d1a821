"""What a manifest must be before anything in it is used: it may come from anywhere.

A schema, with bounds on whatever becomes a path, a column or a number elsewhere. What is not named
here is carried along.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from seal_cli.store.files import MANIFEST, REMOVED, Damaged, open_sealed, read_json, seal_of
from seal_cli.store.identity import ID
from seal_cli.store.schema import VOLATILE

FORMAT = 4
_SEALED = 3  # the format of before: inputs by the seals of their manifests, times and all
_UNSEALED = 2  # and before that: known by the sha256 of its whole text
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=+-]*")
_LARGEST = 2**62


def _file_name(name: str) -> str:
    """A path below the artifact's folder, of plain names."""
    if name in (MANIFEST, REMOVED) or not all(map(_PART.fullmatch, name.split("/"))):
        raise ValueError("no name of a file in an artifact")
    return name


def _identity(name: str) -> str:
    if not ID.fullmatch(name):
        raise ValueError("no artifact id")
    return name


def _moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a moment without a time zone")
    return text


_Id = Annotated[str, AfterValidator(_identity)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, le=_LARGEST)]
_Word = Annotated[str, Field(pattern="^[a-z][a-z_]{0,63}$")]


class _Entry(BaseModel):
    bytes: _Count
    sha256: _Sha256


_Files = dict[Annotated[str, AfterValidator(_file_name)], _Entry]


class _Input(BaseModel):
    artifact_id: _Id
    kind: _Word
    content_sha256: _Sha256 | None = None
    manifest_sha256: _Sha256 | None = None  # of before
    aside: bool = False


class _Table(BaseModel):
    rows: _Count
    status: dict[str, _Count]


class _Manifest(BaseModel):
    format: int
    artifact_id: _Id
    stage: _Word
    kind: _Word
    status: str
    inputs: list[_Input]
    about: dict[str, str]
    source: str | None
    base: _Id
    attempt: Annotated[int, Field(ge=0, le=1_000_000)]
    key: dict[str, Any]
    config: dict[str, dict[str, Any]]
    models: dict[str, dict[str, str]]
    tables: dict[_Word, _Table]
    argv: list[str]
    versions: dict[str, str]
    host: str
    device: str
    git: str | None
    started_at: Annotated[str, AfterValidator(_moment)]
    created_at: Annotated[str, AfterValidator(_moment)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    files: _Files


_FILES = TypeAdapter(_Files)


def read(path: Path) -> tuple[dict[str, Any], str]:
    """The manifest in a file, and the digest that others of before know it by. Raises Damaged."""
    return parse(read_json(path))


def parse(text: bytes) -> tuple[dict[str, Any], str]:
    """The same of a manifest's text."""
    try:
        found, digest = open_sealed(text)
    except Damaged:
        earlier = _earlier(text)
        if earlier is None:
            raise
        found, digest = earlier, hashlib.sha256(text).hexdigest()
    return checked(found), digest


def _earlier(text: bytes) -> dict[str, Any] | None:
    """A manifest of before there were seals; null for anything else."""
    try:
        found = json.loads(text)
        return found if found["format"] == _UNSEALED and "sha256" not in found else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def is_input(entry: dict[str, Any], manifest: dict[str, Any], digest: str) -> bool:
    """Whether a manifest is that of the input that an entry of another speaks of."""
    known = {"content_sha256": content_of(manifest), "manifest_sha256": digest}
    said = {field: entry[field] for field in known if entry.get(field)}
    return bool(said) and manifest["kind"] == entry["kind"] and said.items() <= known.items()


def content_of(manifest: Mapping[str, Any]) -> str:
    """What an artifact is known by to those made from it: its id, its counts and its files.

    Made again it has another moment and host, and in volatile columns other values: files of tables
    that have some are not in it.
    """
    kind = manifest["kind"]
    volatile = tuple(f"__{table}/" if table != kind else "part-" for table in VOLATILE)
    found = {
        "artifact_id": manifest["artifact_id"],
        "tables": manifest["tables"],
        "files": {n: e for n, e in manifest["files"].items() if not n.startswith(volatile)},
    }
    return seal_of(found)


def checked(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest itself. Raises Damaged for what is none of ours, or of another format."""
    number = manifest.get("format")
    if isinstance(number, int) and number not in (_UNSEALED, _SEALED, FORMAT):
        raise Damaged(f"its format is {number}, and this version reads {FORMAT}")
    try:
        _Manifest.model_validate(manifest, strict=True)
    except (ValidationError, RecursionError) as error:
        raise Damaged(_first(error)) from error
    if manifest["kind"] not in manifest["tables"]:
        raise Damaged(f"it has no table {manifest['kind']}")
    return manifest


def checked_files(files: Any) -> dict[str, dict[str, Any]]:
    """Names and entries of files. Raises Damaged."""
    try:
        found = _FILES.validate_python(files, strict=True)
    except ValidationError as error:
        raise Damaged(_first(error)) from error
    return {name: entry.model_dump() for name, entry in found.items()}


def _first(error: Exception) -> str:
    """The first of what a schema objects to, in a line."""
    if not isinstance(error, ValidationError):
        return repr(error)
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg']}"
