"""Which columns a query can be about."""

import pytest

from stages.config.filter import FilterConfig
from stages.errors import ConfigError
from stages.filter import rule_text
from stages.named import named

TABLES = {
    "rewards": ["self_edit_id", "context_id", "reward", "n_repeats"],
    "self_edits": ["prompt"],
}


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("SELECT self_edit_id FROM rewards", ["self_edit_id"]),
        ('SELECT r."Reward" AS x FROM rewards r', ["reward"]),
        ("SELECT count(*) FROM rewards GROUP BY context_id", ["context_id"]),
        ("SELECT 1 FROM rewards JOIN rewards o USING (n_repeats)", ["n_repeats"]),
        ("WITH x AS (SELECT reward AS y FROM rewards) SELECT x FROM x", ["reward"]),
        ("SELECT reward AS context_id FROM rewards ORDER BY context_id", ["context_id", "reward"]),
    ],
)
def test_a_column_is_named_wherever_its_name_stands(query: str, columns: list[str]) -> None:
    assert named(query, TABLES) == {"rewards": columns, "self_edits": []}


@pytest.mark.parametrize(
    "query",
    [
        "FROM rewards",
        "SELECT rewards.* EXCLUDE (reward) FROM rewards",
        "SELECT self_edit_id FROM rewards WHERE EXISTS (SELECT * FROM self_edits)",
        "SELECT COLUMNS('re.*') FROM rewards",
        "SELECT rewards FROM rewards",
        "SELECT r FROM rewards AS R",
        "SELECT self_edit_id FROM rewards NATURAL JOIN self_edits",
    ],
)
def test_a_whole_row_is_every_column(query: str) -> None:
    assert named(query, TABLES) == TABLES


def test_of_the_shipped_rules_none_reads_a_text() -> None:
    tables = TABLES | {"self_edits": ["prompt", "completion", "trace"]}
    for rule in ("best-of-n", "improves", "top-k", "threshold"):
        assert named(rule_text(FilterConfig(rule=rule)), tables)["self_edits"] == []


def test_what_is_no_query_is_refused() -> None:
    with pytest.raises(ConfigError, match="not understood"):
        named("PIVOT rewards ON context_id USING sum(reward)", TABLES)
