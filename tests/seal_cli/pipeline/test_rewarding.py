"""The rewards of `seal score`: what their keys hold, what is refused, and what the rows say."""

import json
from pathlib import Path
from typing import Any

import pytest

SMALL = ["--rank", 2, "--epochs", 1, "--answer-tokens", 4]


@pytest.fixture
def edits(seal: Any, passages: Path, random_model: Path) -> str:
    contexts = seal("import", "contexts", passages).id
    scripted = ["--engine", "scripted", "--samples", 3]
    return str(seal("generate", contexts, "--policy", random_model, *scripted).id)


def ask(seal: Any, query: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in seal("sql", query, "-f", "json").out.splitlines()]


def test_settings_that_decide_nothing_are_in_no_key(seal: Any, edits: str) -> None:
    plain = seal("score", edits, *SMALL, "--repeats", 1).id
    for unused in (
        ["--racing-keep", 0.3], ["--racing-confidence", 0.3], ["--proxy-tokens", 9],
        ["--reward", "accuracy"], ["--racing", "off"],
    ):  # fmt: skip
        assert seal("score", edits, *SMALL, "--repeats", 1, *unused).id == plain
    halved = seal("score", edits, *SMALL, "--repeats", 2, "--racing", "halving").id
    assert seal("score", edits, *SMALL, "--repeats", 2, "--racing", "halving",
                "--racing-confidence", 0.3).id == halved  # fmt: skip
    assert len({plain, halved, seal("score", edits, *SMALL, "--repeats", 1, "--reward",
                                    "gain").id}) == 3  # fmt: skip


def test_gain_and_binary_follow_from_the_same_examinations(seal: Any, edits: str) -> None:
    for rule in ("accuracy", "gain", "binary"):
        seal("score", edits, *SMALL, "--repeats", 1, "--reward", rule)
    rows = ask(seal, "select rule, reward, adapted_accuracy a, gain, origin from rewards")
    assert {row["rule"] for row in rows} == {"accuracy", "gain", "improved"}
    assert {row["origin"] for row in rows} == {"gold"}
    for row in rows:
        worth = {"accuracy": row["a"], "gain": row["gain"], "improved": float(row["gain"] > 0)}
        assert row["reward"] == worth[row["rule"]]


def test_regrading_keeps_the_rule(seal: Any, edits: str) -> None:
    rewards = seal("score", edits, *SMALL, "--repeats", 1, "--reward", "gain").id
    again = seal("regrade", rewards, "--grader", "f1").id
    rows = ask(seal, f"select * from rewards where artifact_id = '{again}'")
    assert {row["rule"] for row in rows} == {"gain"}
    assert all(row["reward"] == row["gain"] for row in rows)


def test_a_race_halves_each_context(seal: Any, edits: str) -> None:
    """Of three self-edits two run again, and of those one is left: 3 + 2 of 9 runs."""
    seal("score", edits, *SMALL, "--repeats", 3, "--racing", "halving")
    counts = ask(seal, "select context_id, sum(n_repeats)::INT n from rewards group by all")
    assert [row["n"] for row in counts] == [5, 5, 5]
    (trained,) = ask(seal, "select count(*) n from adapters")
    assert trained["n"] == 15


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--reward", "proxy"], "--proxy-model go together"),
        (["--proxy-model", "tiny"], "--proxy-model go together"),
        (["--reward", "proxy", "--proxy-model", "tiny", "--student", "tiny"], "adapts and asks"),
        (["--reward", "proxy", "--proxy-model", "tiny", "--racing", "bounds"], "nobody is"),
        (["--racing", "bounds", "--repeats", 1], "--racing gives out repeats"),
        (
            ["--proxy-model", "x", "--reward", "proxy", "--proxy-engine", "openai"],
            "proxy-engine is",
        ),
        (["--reward", "best"], "Choose one of: accuracy, gain, binary, proxy"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    seal: Any, edits: str, flags: list[str], said: str
) -> None:
    result = seal("score", edits, *flags)
    assert result.code == 2
    assert said in result.err


def test_adapters_are_not_raced(seal: Any, edits: str) -> None:
    adapters = seal("adapt", edits, "--rank", 2, "--epochs", 1, "--repeats", 1).id
    result = seal("score", adapters, "--racing", "halving")
    assert result.code == 2
    assert "who is trained again" in result.err
    assert seal("score", adapters, "--reward", "gain", "--answer-tokens", 4).code == 0


def test_a_judge_that_says_nothing_leaves_no_reward(
    seal: Any, edits: str, random_model: Path
) -> None:
    judge = ["--reward", "proxy", "--proxy-model", random_model]
    rewards = seal("score", edits, *judge, "--proxy-tokens", 4)
    assert "failed rows" in rewards.err
    rows = ask(seal, "select r.reward, r.status, r.reason, g.text from rewards r"
                     " join ratings g using (artifact_id, self_edit_id)")  # fmt: skip
    assert len(rows) == 9
    assert {(row["reward"], row["status"]) for row in rows} == {(None, "failed")}
    assert all(row["reason"].startswith("the judge gave no number") for row in rows)
    assert ask(seal, "select * from answers") == []
    assert "9 x the judge gave no number" in rewards.err
    again = seal("score", edits, *judge, "--proxy-tokens", 4)
    assert (rewards.code, again.code) == (4, 4)  # nothing worked, and a hit says so, too
    assert again.out == rewards.out
    assert seal("score", edits, *judge, "--proxy-tokens", 5).out != rewards.out


def test_a_judge_ranks_self_edits_without_training(
    seal: Any, edits: str, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scripted engine as a judge that likes long notes."""
    from stages.engines import scripted

    def judge(request: Any) -> str:
        notes = request.prompt.split("Notes:\n")[1].split("\n\nGive four")[0]
        return f"{min(5, len(notes.splitlines()))}\ndiversity: 3\nquality: 3\ncorrectness: 3"

    monkeypatch.setattr(scripted.ScriptedEngine.__init__, "__defaults__", (judge,))
    rewards = seal("score", edits, "--reward", "proxy", "--proxy-model", random_model,
                   "--proxy-engine", "scripted").id  # fmt: skip
    selection = seal("filter", rewards).id
    query = (
        "select s.completion, r.reward, k.kept from rewards r"
        " join self_edits s using (self_edit_id) join selections k using (self_edit_id)"
        f" where k.artifact_id = '{selection}'"
    )
    rows = ask(seal, query)
    for row in rows:
        assert row["reward"] == 9 + len(row["completion"].splitlines())
    assert sum(row["kept"] for row in rows) == 3
