"""`data/synthetic_data/EM_SFT/**.jsonl`: the self-edits that a policy was finetuned on.

A line has a prompt and a completion and does not say whose they are: they are looked for in the
release's own self-edits, so that each line's passage, and with it its split, is known.
"""

from collections.abc import Iterator, Sequence

from seal_cli.official import passages, query_server, schemas
from seal_cli.official.release import File, Release
from stages.records import Context, Question, Record, Selection, SelfEdit


def source_of(
    release: Release, lines: Sequence[schemas.SftRow]
) -> tuple[File, list[Record]] | None:
    """The first file of self-edits or results that has every line, and its rows."""
    for file in release.of("self-edits", "query-server"):
        data = release.read(file)
        if not all(line.prompt in _prompts(data) for line in lines[:3]):
            continue
        read = (
            query_server.rows if isinstance(data, schemas.QueryServerRun) else passages.self_edits
        )
        rows = [r for r in read(file, data) if isinstance(r, Context | Question | SelfEdit)]
        if all(_key(line.prompt, line.completion) in _edits(rows) for line in lines):
            return file, list(rows)
    return None


def rows(file: File, lines: Sequence[schemas.SftRow], source: Sequence[Record]) -> Iterator[Record]:
    """A selection of the lines in their order, with the contexts and self-edits they are from."""
    known = _edits(source)
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
            **file.at(f"line {number}"),
        )


def _prompts(data: schemas.QueryServerRun | Sequence[schemas.Written]) -> set[str]:
    articles = data.articles if isinstance(data, schemas.QueryServerRun) else data
    return {article.prompt for article in articles}


def _edits(rows: Sequence[Record]) -> dict[tuple[str, str], SelfEdit]:
    """By prompt and text; of equal ones the first."""
    edits = [row for row in rows if isinstance(row, SelfEdit)]
    return {_key(edit.prompt, edit.completion): edit for edit in reversed(edits)}


def _key(prompt: str, completion: str) -> tuple[str, str]:
    return prompt, completion.strip()
