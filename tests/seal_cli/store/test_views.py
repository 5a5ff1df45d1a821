"""The views that answer: against what the rows say, and what training takes a text apart into."""

import json
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import publish

from seal_cli.store import described, index
from stages import recipes
from stages.records import Metric, Selection

SETTINGS = {"generate": {"temperature": 0.7, "prompt": "default"}}


@pytest.fixture
def ask(seal: Any, scored: Any) -> Any:
    def ask(query: str) -> list[dict[str, Any]]:
        result = seal("sql", query, "-f", "json")
        assert result.code == 0, result.err
        return [json.loads(line) for line in result.out.splitlines()]

    return ask


def test_a_scored_self_edit_has_all_there_is_to_say(ask: Any, scored: Any) -> None:
    kept = [
        Selection(edit, "c", rank, "best-of-n", name == "good", "", 0.0)
        for rank, (name, edit) in enumerate(scored.edits.items(), 1)
    ]
    publish(scored.root, "filter", "selections", kept, [scored.rewards])
    rows = ask("SELECT * FROM scored ORDER BY sample")
    assert len(rows) == 4
    good, *_, broken = rows
    assert good["title"] == "Harbour Ost"
    assert good["self_edit_id"] == scored.edits["good"]
    assert [row["kept"] for row in rows] == [True, False, False, False]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert good["gain"] == pytest.approx(good["adapted"] - good["baseline"])
    assert good["settings"] == {"score.reward_floor": "-1.0"}
    assert (broken["status"], broken["reward"], broken["adapted"]) == ("invalid", -1.0, None)


def test_a_question_asked_before_and_after(ask: Any, scored: Any) -> None:
    rows = ask(
        f"SELECT * FROM flips WHERE self_edit_id = '{scored.edits['good']}' ORDER BY question"
    )
    assert [row["question"] for row in rows] == [
        "How high is its light?",
        "When did the harbour open?",
    ]
    for row in rows:
        before, after = row["before_share"] > 0.5, row["after_share"] > 0.5
        names = {(0, 1): "gained", (1, 0): "lost", (1, 1): "kept", (0, 0): "never"}
        assert row["change"] == names[before, after]
    reward = ask(f"SELECT adapted FROM scored WHERE self_edit_id = '{scored.edits['good']}'")
    assert sum(row["after_share"] for row in rows) / 2 == pytest.approx(reward[0]["adapted"])


def test_the_same_settings_and_runs(ask: Any, scored: Any) -> None:
    assert ask("SELECT section, key, value FROM settings") == [
        {"section": "score", "key": "reward_floor", "value": "-1.0"}
    ]
    (run,) = ask("SELECT * FROM runs WHERE stage = 'score'")
    assert (run["rows"], run["ok"], run["invalid"], run["failed"]) == (4, 3, 1, 0)


def test_a_name_is_a_column(ask: Any, seal: Any, scored: Any) -> None:
    assert seal("tag", "first", scored.rewards.id).code == 0
    assert ask("SELECT name FROM runs WHERE stage = 'score'") == [{"name": "first"}]


def test_retention_tells_what_was_learned(ask: Any, scored: Any) -> None:
    rows = [
        Metric("model-0", 0, "d", "continual", "self-edits", step, position, "accuracy", 0.5, 0.4,
               0.6, 8, None, 0, "exact")
        for step in range(3) for position in (None, 1, 2)
    ]  # fmt: skip
    publish(scored.root, "eval", "metrics", rows)
    learned = ask("SELECT step, position FROM retention WHERE learned ORDER BY ALL")
    assert [tuple(row.values()) for row in learned] == [(1, 1), (2, 1), (2, 2)]


SPLITS = ("lines", "blocks", "questions", "none")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "\n",
                "\r\n",
                "\r",
                " ",
                "\t",
                "1. a",
                "Here:",
                "Question 1: x",
                "Question  22 :",
                "é ",
                "b\u00a0",
            ]
        ),
        max_size=12,
    ).map("".join),
    st.sampled_from(SPLITS),
)
def test_lines_are_what_training_takes_a_text_apart_into(text: str, split: str) -> None:
    with duckdb.connect(":memory:") as connection:
        index.define_empty(connection)
        connection.execute(
            "CREATE OR REPLACE VIEW self_edits AS SELECT 'a' AS artifact_id, 'e' AS self_edit_id,"
            " 'c' AS context_id, 'p' AS policy, 0 AS round, 0 AS sample, 'x' AS prompt_name,"
            f" 'ok' AS status, '{split}' AS text_split, getvariable('written') AS completion"
        )
        connection.execute("SET VARIABLE written = $1", [text])
        found = connection.execute("SELECT line FROM lines ORDER BY ordinal").fetchall()
    assert [line for (line,) in found] == recipes.texts(text, split)


@pytest.mark.parametrize("table", described.described())
def test_every_column_is_described(table: str, seal: Any) -> None:
    for name, kind, text in described.described_columns(table):
        assert kind, name
        assert text.endswith("."), name
    result = seal("sql", "--tables", table)
    assert result.code == 0


def test_every_table_is_described_and_nothing_else() -> None:
    with duckdb.connect(":memory:") as connection:
        index.define_empty(connection)
        names = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
    assert names == set(described.described())


def test_no_text_is_about_a_column_that_is_not_there() -> None:
    texts = described._texts()
    for table in set(texts) - {"tables", "any"}:
        assert set(texts[table]) <= {name for name, *_ in described.described_columns(table)}, table


def test_a_table_that_is_not_there_gets_a_near_one(seal: Any) -> None:
    result = seal("sql", "--tables", "scorde")
    assert (result.code, "Did you mean scored?" in result.err) == (2, True)
