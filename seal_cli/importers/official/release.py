"""The files of a release, in either layout: found, told apart by their content, and checked.

A file that cannot be used (not readable, of no known schema, breaking the one it has) is left out
with the reason; it keeps no other out.
"""

import json
import math
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

from seal_cli.importers.official import schemas
from seal_cli.importers.official.kinds import SCHEMAS, Schema
from seal_cli.store.identity import file_digest
from stages.errors import InputError
from stages.identity import canonical

MAX_BYTES = 1 << 30  # of one file
MAX_DEPTH = 32  # lists and objects in one another; the release has 8
KEPT_BYTES = 8 << 20  # of files whose content stays in memory: others are read with their help
SUFFIXES = (".json", ".jsonl")
ROOTS = ("general-knowledge", "knowledge-incorporation", "few-shot")  # of the two layouts


class Place(TypedDict):
    """The columns that say where a row was read."""

    source_file: str
    source_sha256: str
    source_position: str


@dataclass(frozen=True)
class File:
    """One file of the release: where it lies, and what it is called inside the release."""

    path: Path
    name: str
    # What is worth saying of it, each once however often it is read.
    remarks: dict[str, None] = field(default_factory=dict, compare=False)

    @cached_property
    def sha256(self) -> str:
        """Of its bytes. Raises InputError when it can no longer be read."""
        try:
            return file_digest(self.path)
        except OSError as error:
            raise _unreadable(self.name, error) from error

    @cached_property
    def inside(self) -> str:
        """Its path inside the release, wherever in it the import began."""
        parts = self.path.resolve().parts
        roots = [place for place, part in enumerate(parts) if part in ROOTS]
        return "/".join(parts[roots[-1] + 1 :]) if roots else self.name

    def at(self, position: str) -> Place:
        """The provenance of a row read at a JSON pointer or line of this file."""
        return {
            "source_file": self.name,
            "source_sha256": self.sha256,
            "source_position": position,
        }

    def broken(self, why: str, place: str = "") -> InputError:
        """The error for a file that is not what its schema says."""
        return InputError(
            f"{self._where(place)}: {why}.", "Download the release again, or remove this file."
        )

    def remark(self, what: str, place: str = "") -> None:
        """Note something that is no error."""
        self.remarks[f"{self._where(place)}: {what}."] = None

    def _where(self, place: str) -> str:
        return f"{self.name}, {place}" if place else self.name

    def place(self, *parts: str | int) -> str:
        """A place in the content as a reader finds it: a JSON pointer, after a line of lines."""
        if self.path.suffix == ".jsonl" and parts and isinstance(parts[0], int):
            return ", ".join(filter(None, (f"line {parts[0] + 1}", pointer(*parts[1:]))))
        return pointer(*parts)


@dataclass(frozen=True)
class Release:
    """A folder with files of the release."""

    root: Path
    left_out: dict[str, str] = field(default_factory=dict)  # name -> why
    _kept: OrderedDict[str, tuple[int, Any]] = field(default_factory=OrderedDict)  # bytes, content

    @cached_property
    def files(self) -> list[File]:
        """Every JSON file below the root, by name. Raises InputError without such a folder."""
        if self.root.is_file():
            raise InputError(f"{self.root} is a file.", "Give the folder that it lies in.")
        if not self.root.is_dir():
            raise InputError(f"there is no folder {self.root}.", "Give the release's folder.")
        found = []
        for path in sorted(self._walk()):
            file = File(path, self._name(path))
            if schemas.is_text(str(path.resolve())):
                found.append(file)
            else:
                self.left_out[file.name] = "its path is not UTF-8"
        return found

    @cached_property
    def known(self) -> dict[str, Schema]:
        """File name -> its schema, not yet checked; the files that have none are left out."""
        found: dict[str, Schema] = {}
        for file in self.files:
            try:
                content = _content(file)
            except InputError as error:
                self.leave_out(file, error)
                continue
            schema = next((s for s in SCHEMAS if s.recognises(content)), None)
            if schema is None:
                self.left_out[file.name] = "of no known schema"
            else:
                found[file.name] = schema
        return found

    def of(
        self, *names: str, where: Callable[[File], bool] = lambda _: True
    ) -> Iterator[tuple[File, Any]]:
        """The files of these schemas with their contents, but for those that are left out."""
        for file in self.files:
            schema = self.known.get(file.name)
            if schema is None or schema.name not in names or not where(file):
                continue
            try:
                content = self.read(file)
            except InputError as error:
                self.leave_out(file, error)
            else:
                yield file, content

    def read(self, file: File) -> Any:
        """The content of a file as objects of its schema. Raises InputError when it breaks it."""
        if file.name in self._kept:
            self._kept.move_to_end(file.name)
            return self._kept[file.name][1]
        content = _content(file)
        _check_depth(file, content)
        checked = self.known[file.name].check(file, content)
        self._kept[file.name] = file.path.stat().st_size, checked
        while len(self._kept) > 1 and sum(size for size, _ in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return checked

    def leave_out(self, file: File, error: InputError) -> None:
        """Say why a file is not imported."""
        why = error.message.rstrip(".").removeprefix(file.name).lstrip(",: ")
        self.left_out.setdefault(file.name, why)

    def meta(self, file: File) -> dict[str, Any]:
        """How a data file was made, from the `.meta` beside it; nothing where there is none.

        They were written by hand: two names occur, and one has a comma too many. Nothing is decided
        by them, so one that cannot be read is named and passed over.
        """
        for path in (Path(f"{file.path}.meta"), file.path.with_suffix(".meta")):
            if path.is_file() and self._is_inside(path):
                meta = File(path, self._name(path))
                try:
                    found = _parsed(meta, re.sub(r",\s*}", "}", _text(meta)), "")
                    _check_depth(meta, found)
                    if not schemas.is_text(canonical(found)):
                        raise meta.broken("lone surrogates")
                except InputError as error:
                    self.leave_out(meta, error)
                else:
                    return found if isinstance(found, dict) else {}
        return {}

    def _walk(self) -> Iterator[Path]:
        """The JSON files below the root that are not hidden; a folder that is closed is named."""

        def refuse(error: OSError) -> None:
            path = Path(error.filename)
            if path == self.root:
                raise _unreadable(str(path), error) from error
            self.left_out[self._name(path)] = f"cannot be read: {error.strerror}"

        for folder, below, names in os.walk(self.root, onerror=refuse):
            below[:] = [name for name in below if not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                found = path.is_file() or not path.exists()  # a link to nothing is named later
                if not found or path.suffix not in SUFFIXES or name.startswith("."):
                    continue
                if self._is_inside(path):
                    yield path
                else:
                    self.left_out[self._name(path)] = "a link that leads out of the folder"

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root.resolve())

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _unreadable(name: str, error: OSError) -> InputError:
    return InputError(f"{name} cannot be read: {error.strerror}.", "Check its permissions.")


def _text(file: File) -> str:
    try:
        if file.path.stat().st_size > MAX_BYTES:
            raise file.broken(f"more than {MAX_BYTES:,} bytes")
        return file.path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise file.broken(f"not UTF-8 text at byte {error.start}") from error
    except OSError as error:
        raise _unreadable(file.name, error) from error


def _content(file: File) -> Any:
    """The JSON of a file; of JSON lines, the list of them."""
    text = _text(file)
    if file.path.suffix == ".json":
        return _parsed(file, text, "")
    lines = text.rstrip().split("\n") if text.strip() else []
    return [_parsed(file, line, f"line {number}") for number, line in enumerate(lines, 1)]


def _parsed(file: File, text: str, place: str) -> Any:
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise file.broken(f"not valid JSON: {error}", place) from error


def _check_depth(file: File, content: Any) -> None:
    """Raise InputError for what could not be written as JSON again."""
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [item for value in level for item in _items(value)]
    if level:
        raise file.broken(f"nested more than {MAX_DEPTH} deep")


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _finite(literal: str) -> float:
    """A number that is one: `1e999` would become infinity, and `NaN` is none."""
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"{literal[:20]} is no JSON number")
    return number


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return "".join(f"/{part}" for part in escaped)
