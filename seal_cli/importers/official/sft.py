"""`data/synthetic_data/EM_SFT/**.jsonl`: the self-edits that a policy was finetuned on.

A line has a prompt and a completion and does not say whose they are: they are looked for in the
release's own self-edits, so that each line's passage, and with it its split, is known.
"""

from collections.abc import Iterator, Sequence

from seal_cli.importers.official import passages, query_server, schemas
from seal_cli.importers.official.release import File
from seal_cli.importers.official.run import Run
from stages.records import Context, Question, Record, Selection, SelfEdit

Data = schemas.QueryServerRun | Sequence[schemas.Written]


class Written:
    """Which file has which self-edits: those that were read so far, in that order."""

    def __init__(self) -> None:
        self._texts: dict[File, set[int]] = {}

    def add(self, file: File, data: Data) -> None:
        """Keep what stands in a file of self-edits or results, as hashes."""
        if isinstance(data, schemas.QueryServerRun):
            pairs = ((a.prompt, c.text) for a in data.articles for c in a.completions)
        else:
            pairs = ((passage.prompt, text) for passage in data for text in passage.completions)
        self._texts[file] = {_key(*pair) for pair in pairs}

    def find(self, lines: Sequence[schemas.SftRow]) -> File | None:
        """The first file that has every line."""
        wanted = {_key(line.prompt, line.completion) for line in lines}
        return next((file for file, texts in self._texts.items() if wanted <= texts), None)


def edits(file: File, data: Data) -> list[Record]:
    """The contexts, questions and self-edits of a file of self-edits or results."""
    if isinstance(data, schemas.QueryServerRun):
        rows = query_server.rows(Run(file, data))
    else:
        rows = passages.self_edits(file, data)
    return [row for row in rows if isinstance(row, Context | Question | SelfEdit)]


def rows(file: File, lines: Sequence[schemas.SftRow], source: Sequence[Record]) -> Iterator[Record]:
    """A selection of the lines in their order, with the contexts and self-edits they are from."""
    edits = [row for row in source if isinstance(row, SelfEdit)]
    # Of equal ones the first.
    known = {_key(edit.prompt, edit.completion): edit for edit in reversed(edits)}
    chosen: dict[str, tuple[int, SelfEdit]] = {}  # by id: a line may come again
    for number, line in enumerate(lines, 1):
        edit = known[_key(line.prompt, line.completion)]
        chosen.setdefault(edit.self_edit_id, (number, edit))
    if len(chosen) < len(lines):
        file.remark(f"{len(lines) - len(chosen)} lines came again, imported once")
    about = {edit.context_id for _, edit in chosen.values()}
    yield from (
        row for row in source if isinstance(row, Context | Question) and row.context_id in about
    )
    yield from (edit for _, edit in chosen.values())
    for number, edit in chosen.values():
        yield Selection(
            self_edit_id=edit.self_edit_id,
            context_id=edit.context_id,
            rank=1,
            rule="best-of-n",
            kept=True,
            reason="in the released file",
            reward=None,
            weight=1.0,
            **file.at(f"line {number}"),
        )


def _key(prompt: str, completion: str) -> int:
    return hash((prompt, completion.strip()))
