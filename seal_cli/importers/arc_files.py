"""ARC's files -> plain dicts `{title, train, test, split}`; what a dict means the domain says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seal_cli.importers import readers
from stages.errors import InputError

FORMS = "Known: a task ({train, test}), challenges by name, .jsonl of tasks, a folder of tasks."


def read(path: Path, split: str | None = None) -> Iterator[dict[str, Any]]:
    """The tasks of a file or folder, in order of name or file; no form has splits of its own.

    Raises InputError for a file that is missing, broken, too large or of no known form.
    """
    for _, file in files_of(path):
        if file != solutions_of(path):
            yield from _file(file)


def files_of(path: Path) -> list[tuple[str, Path]]:
    """What `read` reads, each file with the part of its name that decides what becomes of it."""
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise InputError(f"{path} holds no .json file.", FORMS)
        readers.check_inside(path, files)
        return [(file.name, file) for file in files]
    beside = solutions_of(path)
    # A single task is named after its file, others are not.
    return [(path.name, path), *([("solutions", beside)] if beside else [])]


def solutions_of(path: Path) -> Path | None:
    """The solutions beside a file of challenges."""
    beside = path.with_name(path.name.replace("challenges", "solutions"))
    return beside if beside != path and beside.is_file() else None


def _file(file: Path) -> Iterator[dict[str, Any]]:
    if file.stat().st_size > readers.MAX_BYTES:
        raise InputError(f"{file} has {file.stat().st_size:,} bytes.", "Split it.")
    if file.suffix == ".jsonl":
        yield from readers.read(file, None)
        return
    data = readers.load_json(file)
    if isinstance(data, dict) and isinstance(data.get("train"), list):
        yield {"title": file.stem} | data
    elif isinstance(data, dict) and data:
        yield from _challenges(file, data)
    else:
        raise InputError(f"{file} is JSON, but no ARC tasks.", FORMS)


def _challenges(file: Path, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    beside = solutions_of(file)
    solutions = readers.load_json(beside) if beside else {}
    for title, task in data.items():
        if not isinstance(task, dict) or not isinstance(task.get("test"), list):
            raise InputError(f"{file}: {title} is no ARC task.", FORMS)
        tests, outputs = task["test"], solutions.get(title) if beside else None
        if beside and (not isinstance(outputs, list) or len(outputs) != len(tests)):
            raise InputError(
                f"{beside} has not one solution for each test of {title}.", "Download both again."
            )
        if outputs is not None:
            pairs = zip(tests, outputs, strict=True)
            tests = [{"input": _input(test), "output": output} for test, output in pairs]
        yield {"title": title, "train": task.get("train"), "test": tests}


def _input(test: Any) -> Any:
    """A test's input; the domain says what is wrong with one that has none."""
    return test.get("input") if isinstance(test, dict) else None
