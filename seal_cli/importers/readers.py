"""Files of every accepted format -> plain dicts `{title, context, questions, split}`.

SQuAD JSON (official v1.1 and the flat form of the SEAL release), JSONL, Parquet, a saved
`datasets` folder, a folder of .md and .txt files, a name on the hub. What a dict means is the
domain's business. Nothing here runs code from a file, and nothing grows beyond MAX_BYTES.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.errors import InputError

MAX_BYTES = 1 << 30  # of one import once it is in memory
TEXT_SUFFIXES = (".md", ".txt")

Row = dict[str, Any]


def read(path: Path, split: str | None) -> Iterator[Row]:
    """The rows of a file or folder, in order; with `split`, of that split where there are several.

    Raises:
        InputError: the file is missing, broken, too large or of no known form; the message says
            where.

    """
    if path.is_dir():
        yield from _folder(path, split)
    elif not path.is_file():
        raise InputError(f"there is no file {path}.", "Check the path.")
    elif path.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{path} has {path.stat().st_size:,} bytes.", f"Split it: at most {MAX_BYTES:,}."
        )
    elif path.suffix == ".parquet":
        yield from joined(_parquet(path))
    elif path.suffix in (".jsonl", ".ndjson"):
        yield from joined(_jsonl(path))
    elif path.suffix == ".json":
        yield from joined(_json(path))
    elif path.suffix in TEXT_SUFFIXES:
        yield _document(path)
    else:
        raise InputError(
            f"{path} is of no known form.",
            "Known: .json (SQuAD), .jsonl, .parquet, .md, .txt, a folder.",
        )


def files_of(path: Path) -> list[tuple[str, Path]]:
    """What `read` reads, each file with the part of its name that decides what becomes of it."""
    if not path.is_dir():
        # The suffix says how a file is read; of a text the name may be the title.
        return [(path.name if path.suffix in TEXT_SUFFIXES else path.suffix, path)]
    if _is_saved_dataset(path):
        inside = sorted(p for p in path.rglob("*") if p.is_file())
    else:
        texts = sorted(p for p in path.rglob("*") if p.suffix in TEXT_SUFFIXES and p.is_file())
        inside = texts or sorted(path.glob("*.parquet"))
    check_inside(path, inside)
    return [(str(p.relative_to(path)), p) for p in inside]


def check_inside(folder: Path, files: Iterable[Path]) -> None:
    """Raise InputError for a link out of the folder: who made it may want to see our files."""
    root = folder.resolve()
    for file in files:
        if not file.resolve().is_relative_to(root):
            raise InputError(
                f"{file} leads out of {folder}.", "Put the file itself there, or import it alone."
            )


def _is_saved_dataset(path: Path) -> bool:
    return (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file()


def _folder(path: Path, split: str | None) -> Iterator[Row]:
    if _is_saved_dataset(path):
        yield from joined(_saved_dataset(path, split))
        return
    files = [file for _, file in files_of(path)]
    if not files:
        raise InputError(
            f"{path} holds no .md, .txt or .parquet file and no saved dataset.",
            "Give the files themselves.",
        )
    for file in files:
        yield from joined(_parquet(file)) if file.suffix == ".parquet" else [_document(file)]


def _document(path: Path) -> Row:
    """One text file as a passage without questions; its title is its first heading or its name."""
    text = _text(path)
    if not text.strip():
        raise InputError(f"{path} is empty.", "Remove it, or write something into it.")
    heading = re.match(r"#+\s+(.+)\n", text)
    title = heading[1].strip() if heading else path.stem.replace("_", " ")
    return {"title": title, "context": text[heading.end() :] if heading else text}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.",
            "Convert it to UTF-8.",
        ) from error


def load_json(path: Path) -> Any:
    """A whole file of JSON. Raises InputError."""
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not valid JSON: {error}.", "Correct or download it again."
        ) from error


def _json(path: Path) -> Iterator[Row]:
    data = load_json(path)
    if isinstance(data, dict) and isinstance(data.get("data"), list):
        yield from _squad(data["data"], path)
    elif isinstance(data, list):
        yield from (_dict(row, f"{path}, item {i}") for i, row in enumerate(data))
    else:
        raise InputError(
            f"{path} is JSON, but neither SQuAD v1.1 nor a list of passages.",
            "See `seal import contexts --help` for the accepted forms.",
        )


def _squad(articles: list[Any], path: Path) -> Iterator[Row]:
    """The official v1.1 form: articles -> paragraphs -> qas -> answers."""
    for i, article in enumerate(articles):
        try:
            for paragraph in article["paragraphs"]:
                questions = [
                    {"question": qa["question"], "answers": [a["text"] for a in qa["answers"]]}
                    for qa in paragraph["qas"]
                    if qa["answers"]  # v2.0 has unanswerable ones
                ]
                yield {
                    "title": article["title"].replace("_", " "),
                    "context": paragraph["context"],
                    "questions": questions,
                }
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}, article {i}, is not SQuAD v1.1: {error!r}.",
                "Expected data → paragraphs → qas → answers.",
            ) from error


def _jsonl(path: Path) -> Iterator[Row]:
    # Not splitlines(): U+2028 and its like may stand inside a JSON string.
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield _dict(json.loads(line), f"{path}, line {number}")
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path}, line {number}, is not valid JSON: {error}.", "Correct that line."
            ) from error


def _parquet(path: Path) -> Iterator[Row]:
    """Row by row in small batches: a few hundred bytes of Parquet can stand for gigabytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = 0
    try:
        with pq.ParquetFile(path) as parquet:
            for batch in parquet.iter_batches(batch_size=64):
                size += batch.nbytes
                if size > MAX_BYTES:
                    raise InputError(
                        f"{path} unpacks to more than {MAX_BYTES:,} bytes.", "Split it."
                    )
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} is not readable Parquet: {error}.", "Write it again.") from error


def _saved_dataset(path: Path, split: str | None) -> Iterator[Row]:
    from datasets import Dataset, DatasetDict, load_from_disk

    for state in path.rglob("state.json"):  # it names the files with the rows
        content = load_json(state)
        listed = content.get("_data_files") if isinstance(content, dict) else None
        for entry in listed if isinstance(listed, list) else []:
            name = entry.get("filename") if isinstance(entry, dict) else None
            check_inside(path, [state.parent / str(name)])
    check_inside(path, path.rglob("*"))
    try:
        data = load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is not a readable saved dataset: {error}.", "Save it again with save_to_disk."
        ) from error
    yield from _splits(
        data if isinstance(data, DatasetDict) else {None: data}, split, str(path), Dataset
    )


def hub_revision(name: str) -> str:
    """The commit that a hub dataset stands at. Raises InputError."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        return str(huggingface_hub.HfApi().dataset_info(name).sha)
    except (OSError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled) as error:
        raise InputError(
            f"{name} is neither a file nor a dataset that the hub gives.",
            "Check the name and the network.",
        ) from error


def hub(name: str, revision: str, split: str | None) -> Iterator[Row]:
    """The rows of a dataset on the Hugging Face hub, at one commit."""
    import datasets

    try:
        data = datasets.load_dataset(name, revision=revision)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name} is neither a file nor a dataset that the hub gives: {error}.",
            "Check the name and the network.",
        ) from error
    yield from joined(_splits(data, split, name, datasets.Dataset))


def _splits(data: Mapping[Any, Any], split: str | None, name: str, kind: type) -> Iterator[Row]:
    known = [str(key) for key in data if key is not None]
    if split is not None and known and split not in known:
        raise InputError(f"{name} has no split {split!r}.", f"It has: {', '.join(known)}.")
    for key, rows in data.items():
        if not isinstance(rows, kind):
            raise InputError(f"{name} is not a table of rows.", "Give a dataset with columns.")
        if split is None or key is None or key == split:
            label = {} if key is None else {"split": str(key)}
            yield from ({**label, **row} for row in rows)  # type: ignore[attr-defined]


def joined(rows: Iterable[Row]) -> Iterator[Row]:
    """Gather rows with one question each (the hub's SQuAD form) into passages; pass others on."""
    current: Row | None = None
    for row in rows:
        if "question" not in row or "questions" in row:
            if current is not None:
                yield current
                current = None
            yield row
            continue
        text = row.get("context", row.get("text"))
        question = {"question": row["question"], "answers": row.get("answers", row.get("answer"))}
        if current is not None and (current["title"], current["context"]) == (
            row.get("title", ""),
            text,
        ):
            current["questions"].append(question)
            continue
        if current is not None:
            yield current
        current = {
            "title": row.get("title", ""),
            "context": text,
            "questions": [question],
            "split": row.get("split"),
        }
    if current is not None:
        yield current


def _dict(row: Any, place: str) -> Row:
    if not isinstance(row, dict):
        raise InputError(
            f"{place}, is {type(row).__name__}, not an object.", "Give one object per passage."
        )
    return row
