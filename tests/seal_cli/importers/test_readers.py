"""Every accepted format gives the same passages."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from passages import PASSAGES

from seal_cli.importers.readers import read

ONE_ROW_PER_QUESTION = [
    {
        "title": passage["title"],
        "context": passage["context"],
        "question": question["question"],
        "answers": {"text": question.get("answers", [question.get("answer")]), "answer_start": [0]},
    }
    for passage in PASSAGES
    for question in passage["questions"]  # type: ignore[attr-defined]
]
SQUAD = {
    "data": [
        {
            "title": passage["title"].replace(" ", "_"),  # type: ignore[attr-defined]
            "paragraphs": [
                {
                    "context": passage["context"],
                    "qas": [
                        {
                            "question": q["question"],
                            "answers": [{"text": a} for a in q.get("answers", [q.get("answer")])],
                        }
                        for q in passage["questions"]  # type: ignore[attr-defined]
                    ],
                }
            ],
        }
        for passage in PASSAGES
    ]
}


def write(form: str, folder: Path) -> Path:
    import datasets

    path = folder / f"passages.{form}"
    if form == "json":
        path.write_text(json.dumps(PASSAGES))
    elif form == "squad.json":
        path.write_text(json.dumps(SQUAD))
    elif form == "jsonl":
        path.write_text("\n".join(map(json.dumps, PASSAGES)) + "\n\n")
    elif form == "hub.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ONE_ROW_PER_QUESTION))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(ONE_ROW_PER_QUESTION), path)
    elif form == "saved":
        datasets.Dataset.from_list(ONE_ROW_PER_QUESTION).save_to_disk(str(path))
    elif form == "splits":
        data = datasets.Dataset.from_list(ONE_ROW_PER_QUESTION)
        other = datasets.Dataset.from_list(ONE_ROW_PER_QUESTION[:1])
        datasets.DatasetDict({"train": other, "validation": data}).save_to_disk(str(path))
    return path


@pytest.mark.parametrize(
    "form", ["json", "squad.json", "jsonl", "hub.jsonl", "parquet", "saved", "splits"]
)
def test_every_form_imports_as_the_same_contexts(seal: Any, tmp_path: Path, form: str) -> None:
    path = write(form, tmp_path)
    result = seal("import", "contexts", path, "--split", "validation")
    assert result.code == 0, result.err
    shape = "select c.title, c.text, c.split, q.ordinal, q.question, q.answers "
    query = (
        shape + "from contexts c join questions q using (context_id) order by c.ordinal, q.ordinal"
    )
    rows = [json.loads(line) for line in seal("sql", query, "-f", "json").out.splitlines()]
    assert [(r["title"], r["text"]) for r in rows[::2]] == [
        (p["title"], p["context"]) for p in PASSAGES
    ]
    assert {r["split"] for r in rows} == {"validation"}
    assert [r["answers"] for r in rows[:2]] == [["1871"], ["31 m", "31"]]


def test_text_files_are_passages_without_questions(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a_note.txt").write_text("Plain.")
    (tmp_path / "sub" / "b.md").write_text("# A heading\nBody.")
    assert list(read(tmp_path, None)) == [
        {"title": "a note", "context": "Plain."},
        {"title": "A heading", "context": "Body."},
    ]


def test_unanswerable_questions_of_squad_2_are_left_out(tmp_path: Path) -> None:
    data = json.loads(json.dumps(SQUAD))
    data["data"][0]["paragraphs"][0]["qas"][0]["answers"] = []
    path = tmp_path / "squad.json"
    path.write_text(json.dumps(data))
    assert len(next(read(path, None))["questions"]) == 1


def test_a_passage_that_comes_twice_keeps_all_its_questions(seal: Any, tmp_path: Path) -> None:
    more = {
        **PASSAGES[0],
        "questions": [{"question": "New?", "answer": "yes"}, PASSAGES[0]["questions"][0]],
    }  # type: ignore[index]
    path = tmp_path / "twice.jsonl"
    path.write_text("".join(json.dumps(p) + "\n" for p in [*PASSAGES, more]))
    result = seal("import", "contexts", path)
    assert "1 passages came again" in result.err
    assert "3 contexts, 7 questions" in result.err
    query = "select count(distinct question_id), max(ordinal) from questions"
    assert seal("sql", query, "-f", "csv").out.splitlines()[1] == "7,2"


def test_limit_takes_the_first(seal: Any, passages: Path) -> None:
    assert "2 contexts, 4 questions" in seal("import", "contexts", passages, "--limit", 2).err


def test_the_same_content_from_elsewhere_is_a_hit(
    seal: Any, passages: Path, tmp_path: Path
) -> None:
    first = seal("import", "contexts", passages).id
    moved = passages.rename(tmp_path / "moved.jsonl")
    assert seal("import", "contexts", moved).id == first
    assert seal("import", "contexts", moved, "--split", "eval").id != first


def test_the_real_passages_import_whole(seal: Any, official: Path) -> None:
    result = seal("import", "contexts", official / "data/squad_val.json")
    assert "2067 contexts, 10570 questions" in result.err
    query = "select count(distinct context_id), count(distinct title) from contexts"
    assert seal("sql", query, "-f", "csv").out.splitlines()[1] == "2067,48"
