"""Few-shot learning through all six commands, with a random chat model that is kept in grammar."""

import json
from pathlib import Path
from typing import Any

import pytest
from arc_made import call

PAIRS = [{"input": [[i, 2]], "output": [[2, i]]} for i in (1, 3, 4)]
SMALL = ("--rank", 2, "--max-sequences", 2, "--max-length", 600)


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Two tasks; the second has two tests."""
    path = tmp_path / "challenges.json"
    tests = [{"input": [[7, 8]]}, {"input": [[6, 5]]}]
    path.write_text(
        json.dumps(
            {"a": {"train": PAIRS, "test": tests[:1]}, "b": {"train": PAIRS[::-1], "test": tests}}
        )
    )
    solutions = {"a": [[[8, 7]]], "b": [[[8, 7]], [[5, 6]]]}
    (tmp_path / "solutions.json").write_text(json.dumps(solutions))
    return path


def test_the_six_commands(seal: Any, tasks: Path, chat_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("xgrammar")
    contexts = seal("import", "contexts", tasks, "--domain", "arc").id
    edits = seal("generate", contexts, "--policy", chat_model, "--samples", 2, "--constrained").id
    rewards = seal("score", edits, *SMALL, "--repeats", 1, "--answer-tokens", 8).id
    query = "select status, grader, n_questions from rewards order by all"
    told = seal("sql", query, "-f", "csv").out.splitlines()[1:]
    assert told == ["ok,arc-grid,1"] * 2 + ["ok,arc-grid,2"] * 2
    asked = seal(
        "sql",
        "select (s.completion::JSON->>'$.training.num_train_epochs')::INT"
        " = (a.hyperparameters::JSON->>'$.epochs')::INT as same"
        " from adapters a join self_edits s using (self_edit_id)",
        "-f",
        "csv",
    ).out.split()
    assert asked == ["same", *["True"] * 4]
    selection = seal("filter", rewards).id
    policy = seal("update", selection, "--rank", 2, "--epochs", 1).id
    oracle = tmp_path / "oracle.json"
    oracle.write_text(call(basic=True, epochs=1))
    metrics = seal(
        "eval", policy, contexts, *SMALL, "--constrained", "--voting", "--answer-tokens", 8,
        "--oracle", oracle,
    ).id  # fmt: skip
    rows = seal(
        "sql",
        f"select regime, method, n, n_questions, n_failed from metrics"
        f" where artifact_id = '{metrics}' and metric = 'accuracy' order by method",
        "-f",
        "csv",
    ).out.splitlines()[1:]
    assert rows == [f"fewshot,{method},2,3,0" for method in ("in-context", "oracle", "self-edits")]
    for name in ("tools", "grids"):
        assert len(seal("report", name, "-f", "csv").out.splitlines()) > 2
    page = seal("report", "grids", "tools", "-f", "html").out
    assert '<table class="grid">' in page


def test_under_the_papers_preset_adapters_are_asked_as_they_learned(
    seal: Any, tasks: Path, chat_model: Path
) -> None:
    pytest.importorskip("xgrammar")
    paper = ["--preset", "paper-arc"]
    contexts = seal("import", "contexts", tasks, "--domain", "arc", "--only", "b").id
    writing = ["--samples", 2, "--constrained", "--max-tokens", 400]
    edits = seal("generate", contexts, "--policy", chat_model, *paper, *writing).id
    prompts = seal("sql", "select distinct prompt from self_edits", "-f", "csv").out
    assert prompts.startswith('prompt\n"[system] Write')
    assert "[user] " in prompts
    assert "Input:\n4 2\nOutput:\n2 4" in prompts
    small = ["--rank", 2, "--max-sequences", 2]
    asked = ["--answer-tokens", 8, "--no-voting"]
    adapters = seal("adapt", edits, *paper, *small).id
    of_adapters = seal("score", adapters, *asked).id
    in_memory = seal("score", edits, *paper, *small, *asked).id
    query = (
        "select question_id, method, text, n_tokens from answers"
        " where artifact_id = '{}' order by all"
    )
    said = [seal("sql", query.format(i), "-f", "csv").out for i in (of_adapters, in_memory)]
    assert said[0] == said[1]
    assert said[0].count("self-edits") == 2 * 2
    known = "select distinct hyperparameters::JSON->'$.arc' from adapters"
    assert '""grids"":""lists""' in seal("sql", known, "-f", "csv").out
    for flag in (["--grids", "rows"], ["--own-first"]):
        assert seal("score", adapters, *flag).code == 2


def test_what_the_policy_wrote_freely_is_invalid_and_stays(
    seal: Any, tasks: Path, chat_model: Path
) -> None:
    contexts = seal("import", "contexts", tasks, "--domain", "arc", "--limit", 1).id
    edits = seal("generate", contexts, "--policy", chat_model, "--samples", 2, "--max-tokens", 9).id
    seal("score", edits, "--answer-tokens", 4)
    query = "select status, reward, reason is not null as told from rewards"
    assert seal("sql", query, "-f", "csv").out.splitlines()[1:] == ["invalid,0.0,True"] * 2


def test_wishes_that_do_not_go_together(
    seal: Any, tasks: Path, passages: Path, chat_model: Path
) -> None:
    arc = seal("import", "contexts", tasks, "--domain", "arc").id
    texts = seal("import", "contexts", passages).id
    assert seal("eval", chat_model, arc, "--regime", "single").code == 2
    assert seal("eval", chat_model, texts, "--regime", "fewshot").code == 2
    assert seal("eval", chat_model, texts, "--oracle", passages).code == 2
    assert seal("eval", chat_model, arc, "--oracle", "nowhere.json").code == 2
    assert seal("generate", texts, "--policy", chat_model, "--constrained").code == 2
