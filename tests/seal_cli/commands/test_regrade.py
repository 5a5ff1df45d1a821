"""Regrading from the shell: an artifact like any other, and what cannot be judged again."""

import json
from pathlib import Path
from typing import Any

import pytest
from passages import PASSAGES
from stored import publish

from stages.records import Metric, Reward, Verdict


def rewards(seal: Any, artifact: str) -> list[dict[str, Any]]:
    query = f"select * from rewards where artifact_id = '{artifact}' order by sample"
    return [json.loads(line) for line in seal("sql", query, "-f", "json").out.splitlines()]


def test_rewards_under_another_grader(seal: Any, scored: Any) -> None:
    again = seal("regrade", scored.rewards.id, "--grader", "contained")
    assert again.id.startswith("regrade-")
    found = rewards(seal, again.id)
    assert [r["reward"] for r in found] == [1.0, 0.5, 0.0, -1.0]
    assert [r["status"] for r in found] == ["ok", "ok", "ok", "invalid"]
    # "in 1871" is not exactly "1871", but it contains it.
    assert {r["baseline_accuracy"] for r in rewards(seal, scored.rewards.id)} == {0.0}
    assert {r["baseline_accuracy"] for r in found} == {0.5}
    assert {r["grader"] for r in found} == {"contained"}
    manifest = json.loads(seal("show", again.id, "--json").out)
    assert {name: t["rows"] for name, t in manifest["tables"].items()} == {
        "rewards": 4, "verdicts": 14
    }  # fmt: skip
    assert manifest["key"] == {
        "stage": "regrade", "given": scored.rewards.id, "semantics": 2,
        "grader": {"name": "contained", "semantics": 1},
    }  # fmt: skip


def test_the_own_grader_gives_the_same_rewards_again(seal: Any, scored: Any) -> None:
    again = seal("regrade", scored.rewards.id, "--grader", "exact").id
    drop = {"artifact_id"}
    before, after = (
        [{k: v for k, v in row.items() if k not in drop} for row in rewards(seal, artifact)]
        for artifact in (scored.rewards.id, again)
    )
    assert after == before


def test_a_regrade_is_filtered_and_regraded_like_any_rewards(seal: Any, scored: Any) -> None:
    first = seal("regrade", "@latest:score", "--grader", "contained").id
    second = seal("regrade", "-", "--grader", "f1", stdin=first).id
    assert first != second
    assert seal("regrade", scored.rewards.id, "--grader", "contained").id == first  # a hit
    assert "self_edit_id" in seal("sql", "select * from rewards", "-f", "csv").out
    selection = seal("filter", "@latest:regrade").id
    query = f"select self_edit_id from selections where kept and artifact_id = '{selection}'"
    assert seal("sql", query, "-f", "csv").out.split()[1:] == [scored.edits["good"]]
    assert seal("ls", "regrade", "--json").out.count("\n") == 2
    assert json.loads(seal("show", "@latest:score", "--json").out)["stage"] == "score"


def test_offline_is_the_newest_version_before_it_is_a_key(seal: Any, scored: Any) -> None:
    newest = seal("regrade", scored.rewards.id, "--grader", "offline").id
    assert seal("regrade", scored.rewards.id, "--grader", "offline-2").id == newest
    first = seal("regrade", scored.rewards.id, "--grader", "offline-1").id
    assert first != newest
    key = json.loads(seal("show", newest, "--json").out)["key"]
    assert key["grader"] == {"name": "offline-2", "semantics": 1}
    for artifact_id, name in ((newest, "offline-2"), (first, "offline-1")):
        for table in ("verdicts", "rewards"):
            query = f"select distinct grader from {table} where artifact_id = '{artifact_id}'"
            assert seal("sql", query, "-f", "csv").out == f"grader\n{name}\n"


def test_numbers_that_were_only_recorded_cannot_be_judged_again(
    seal: Any, scored: Any, tmp_path: Path
) -> None:
    (row, *_) = scored.rewards.rows(Reward)
    bare = publish(scored.root, "import", "rewards", [row], [scored.self_edits], name="bare")
    result = seal("regrade", bare.id, "--grader", "offline")
    assert result.code == 3
    assert f"the answers behind {bare.id} are not stored" in result.err
    # Answers that are about something else are no better than none.
    (answers, *_) = ([r] for r in _answers(scored))
    beside = publish(
        scored.root, "import", "rewards", [row, *answers], [scored.contexts], name="beside"
    )
    result = seal("regrade", beside.id, "--grader", "offline")
    assert result.code == 3
    assert "recorded numbers" in result.err


def _answers(scored: Any) -> list[Any]:
    from stages.records import Answer

    return [row for row in scored.rewards.rows(Answer) if row.self_edit_id is None]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["@latest:generate", "--grader", "f1"], 3, "holds self_edits, not rewards or metrics"),
        (["@latest:score", "--grader", "gpt"], 2, "grader is 'gpt'"),
        (["@latest:score"], 2, "Missing option '--grader'"),
    ],
)
def test_what_is_not_understood_is_refused(
    seal: Any, scored: Any, arguments: list[str], code: int, message: str
) -> None:
    result = seal("regrade", *arguments)
    assert result.code == code
    assert message in result.err


def test_an_evaluation_is_judged_again(
    seal: Any, random_model: Path, passages: Path, tmp_path: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    small = ["--rank", 2, "--epochs", 1, "--engine", "scripted"]
    before = seal("eval", random_model, contexts, *small).id
    columns = "* exclude (artifact_id)"
    query = f"select {columns} from metrics where artifact_id = '{{}}' order by method, metric"
    same = seal("regrade", before, "--grader", "offline").id
    assert seal("sql", query.format(same)).out == seal("sql", query.format(before)).out
    assert len(PASSAGES) == 3
    again = seal("regrade", same, "--grader", "f1").id
    graders = seal("sql", f"select distinct grader, n from metrics where artifact_id = '{again}'")
    assert graders.out == "grader,n\nf1,3\n"


def test_several_evaluations_or_an_unknown_regime_are_refused(seal: Any, scored: Any) -> None:
    row = Metric("p", 0, "d", "continual", "self-edits", 1, 1, "accuracy", 0.5, 0, 1, 8, 8, 0)
    made = publish(scored.root, "eval", "metrics", [row, *_answers(scored)], [scored.contexts])
    result = seal("regrade", made.id, "--grader", "f1")
    assert result.code == 3
    assert "not one evaluation in the regime single or cpt" in result.err


def test_strict_does_not_offer_to_ask_a_grader_again_that_would_say_the_same(
    seal: Any, scored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a grader cannot judge it cannot judge again."""

    def judge(grader: Any, answered: Any) -> list[Verdict]:
        return [
            Verdict(answer.answer_id, answer.context_id, grader.name, None, None, "no idea")
            for _, answer in answered
        ]

    monkeypatch.setattr("stages.regrade.judge", judge)
    refused = seal("regrade", scored.rewards.id, "--grader", "exact", "--force", "--strict")
    assert refused.code == 4
    assert "--retry-failed" not in refused.err
    assert "See their reason column" in refused.err
