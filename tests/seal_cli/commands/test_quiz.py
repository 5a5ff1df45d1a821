"""`seal quiz` on the shipped model, and rewards from its questions beside gold ones."""

import json
from pathlib import Path
from typing import Any

import pytest

FEW = ["--samples", 2, "--limit", 3]


def ask(seal: Any, query: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in seal("sql", query, "-f", "json").out.splitlines()]


@pytest.fixture
def gold(seal: Any) -> str:
    return str(seal("import", "contexts", "tiny", "--limit", 3).id)


@pytest.fixture
def quiz(seal: Any, gold: str) -> str:
    return str(seal("quiz", gold, "--policy", "tiny").id)


def test_the_contexts_are_the_same_with_questions_of_its_own(
    seal: Any, gold: str, quiz: str
) -> None:
    contexts = "select context_id, ordinal, title, text from contexts where artifact_id = '{}'"
    assert ask(seal, contexts.format(quiz)) == ask(seal, contexts.format(gold))
    kept = ask(seal, f"select * from questions where artifact_id = '{quiz}'")
    assert {row["origin"] for row in kept} == {"self"}
    drafts = ask(seal, "select * from drafts")
    assert [row["question_id"] for row in drafts if row["kept"]] == [q["question_id"] for q in kept]
    for row in drafts:
        right = (row["open_book_correct"], row["closed_book_correct"]) == (True, False)
        assert row["kept"] == right
        assert (row["reason"] is None) == row["kept"]
    assert 3 <= len(kept) <= 15


def test_a_second_run_is_a_hit_and_how_it_is_decoded_does_not_matter(
    seal: Any, gold: str, quiz: str
) -> None:
    again = seal("quiz", gold, "--policy", "tiny", "--decode-batch", 2)
    assert again.id == quiz
    assert "is there already" in again.err
    assert seal("quiz", gold, "--policy", "tiny", "--questions", 1).id != quiz
    forced = seal("quiz", gold, "--policy", "tiny", "--decode-batch", 2, "--force").id
    rows = "select * exclude artifact_id from drafts where artifact_id = '{}'"
    assert ask(seal, rows.format(forced)) == ask(seal, rows.format(quiz))


def test_self_edits_are_scored_with_either_questions(seal: Any, gold: str, quiz: str) -> None:
    edits = seal("generate", gold, "--policy", "tiny", *FEW).id
    by_gold = seal("score", edits).id
    by_own = seal("score", edits, "--questions", quiz).id
    same = seal("generate", quiz, "--policy", "tiny", *FEW).id
    twin = seal("score", same).id
    rows = ask(seal, "select artifact_id a, self_edit_id, origin, reward from rewards")
    assert {row["origin"] for row in rows if row["a"] == by_gold} == {"gold"}
    found = [{r["self_edit_id"]: r for r in rows if r["a"] == a} for a in (by_own, twin)]
    assert {row["origin"] for row in found[0].values()} == {"self"}
    # The artifact that a passage came in does not matter to its self-edits or to their rewards.
    one, other = ({name: row["reward"] for name, row in rows.items()} for rows in found)
    assert one == other
    adapters = seal("adapt", edits).id
    seal("score", adapters, "--questions", quiz)
    report = seal("report", "reward-agreement", "-f", "csv").out.splitlines()
    assert len(report) == 4  # three with own questions against one with gold


def test_rewards_follow_the_questions_they_were_asked(seal: Any, gold: str, quiz: str) -> None:
    """What is upstream of such rewards are the questions asked, so a regrade finds them."""
    edits = seal("generate", gold, "--policy", "tiny", *FEW).id
    rewards = seal("score", edits, "--questions", quiz).id
    again = seal("regrade", rewards, "--grader", "exact").id
    rows = ask(seal, f"select status, origin from rewards where artifact_id = '{again}'")
    assert {(row["status"], row["origin"]) for row in rows} == {("ok", "self")}


def test_questions_about_other_passages_are_refused(
    seal: Any, quiz: str, passages: Path, random_model: Path
) -> None:
    other = seal("import", "contexts", passages).id
    scripted = ["--engine", "scripted", "--samples", 1]
    edits = seal("generate", other, "--policy", random_model, *scripted).id
    result = seal("score", edits, "--questions", quiz)
    assert result.code == 3
    assert "3 of 3 contexts" in result.err


def test_tasks_have_no_passages(seal: Any) -> None:
    tasks = seal("import", "contexts", "tiny-grids", "--limit", 1).id
    result = seal("quiz", tasks, "--policy", "tiny-grids")
    assert result.code == 2
    assert "no passages" in result.err


def test_a_model_that_cannot_write_questions_leaves_contexts_without(
    seal: Any, passages: Path, random_model: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    few = ["--samples", 1, "--max-tokens", 8, "--answer-tokens", 2]
    made = seal("quiz", contexts, "--policy", random_model, *few)
    assert "0 of 3 questions kept" in made.err
    assert ask(seal, "select count(*) n from contexts")[0]["n"] == 6
    assert {row["status"] for row in ask(seal, "select status from drafts")} == {"invalid"}
    edits = seal("generate", made.id, "--policy", random_model, "--engine", "scripted").id
    result = seal("score", edits)
    assert result.code == 3
    assert "no questions" in result.err


def test_a_template_of_ones_own(seal: Any, gold: str, tmp_path: Path) -> None:
    template = tmp_path / "ask.txt"
    template.write_text("Passage about {title}: {context}\nQuestions:\n")
    made = seal("quiz", gold, "--policy", "tiny", "--prompt", template)
    assert made.code == 0
    template.write_text("Ask something.")
    assert "{context}" in seal("quiz", gold, "--policy", "tiny", "--prompt", template).err


def test_the_report_counts_outcomes(seal: Any, quiz: str) -> None:
    import csv
    import io

    rows = list(csv.DictReader(io.StringIO(seal("report", "quiz", "-f", "csv").out)))
    assert rows[0]["outcome"] == "kept"
    (drafts,) = ask(seal, "select count(*) n, count(*) filter (kept) k from drafts")
    assert sum(int(row["questions"]) for row in rows) == drafts["n"]
    assert int(rows[0]["questions"]) == drafts["k"]
    assert float(rows[0]["per_context"]) == round(drafts["k"] / 3, 2)
    assert {row["model"] for row in rows} == {"tiny"}
