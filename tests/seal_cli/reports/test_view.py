"""`seal view`: what its page holds, and that what the store has is data there."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from seal_cli.reports import view
from seal_cli.store.workspace import Workspace

HOSTILE = '</script><script>alert(1)</script><img src="http://evil.example/x">\x1b[2J\u202e'


def held(text: str) -> Any:
    """The data of a page."""
    (packed,) = re.findall(r'<script type="application/gzip" id="data">([^<]*)</script>', text)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


@pytest.fixture
def shown(scored: Any, seal: Any, tmp_path: Path) -> Any:
    """The page of a small store that has a selection, and the selection's id."""
    chosen = seal("filter", scored.rewards.id, "--rule", "best-of-n").id
    page = tmp_path / "page.html"
    assert seal("view", "--output", page).code == 0
    return page.read_text(encoding="utf-8"), chosen


def test_a_context_has_its_self_edits_with_what_each_changed(shown: Any, scored: Any) -> None:
    data = held(shown[0])
    (context,) = data["contexts"]
    assert context["text"].startswith("The harbour of Ost")
    assert [q["gold"] for q in context["questions"]] == [["1871"], ["31 m"]]
    by_id = {one["self_edit_id"]: one for one in context["attempts"]}
    assert len(by_id) == len(context["attempts"]) == 4
    good = by_id[scored.edits["good"]]
    assert good["reward"] == max(one["reward"] for one in by_id.values())
    assert "gained" in {row["change"] for row in good["flips"]}
    assert {row["question_id"] for row in good["flips"]} == {q["id"] for q in context["questions"]}
    assert good["lines"] == [line for line in good["text"].split("\n") if line]
    assert [one["repeat"] for one in good["adapters"]] == list(range(good["repeats"]))
    assert {one["status"] for one in good["adapters"]} == {"ok"}
    broken = by_id[scored.edits["broken"]]
    assert (broken["status"], broken["flips"]) == ("invalid", [])
    assert broken["reason"] == "control characters in the text"


def test_it_says_which_was_selected_and_why(shown: Any, scored: Any) -> None:
    text, chosen = shown
    attempts = held(text)["contexts"][0]["attempts"]
    said = {one["self_edit_id"]: one["chosen"] for one in attempts}
    (row,) = said[scored.edits["good"]]
    assert (row["artifact_id"], row["kept"], row["rule"]) == (chosen, True, "best-of-n")
    assert row["reason"]
    assert [row["kept"] for row in said[scored.edits["bad"]]] == [False]


def test_an_id_leaves_out_what_it_was_not_made_from(shown: Any, scored: Any, seal: Any) -> None:
    """The selection is of the rewards; the page of the rewards has none."""
    found = view.gather(Workspace(scored.root), [scored.rewards.id], 60)
    made_from = {scored.contexts.id, scored.self_edits.id, scored.rewards.id}
    assert {run["artifact_id"] for run in found["runs"]} == made_from
    assert all(one["chosen"] == [] for one in found["contexts"][0]["attempts"])
    every = held(shown[0])
    assert {run["artifact_id"] for run in every["runs"]} == made_from | {shown[1]}
    (run,) = [run for run in every["runs"] if run["artifact_id"] == scored.rewards.id]
    assert {"section": "score", "key": "reward_floor", "value": "-1.0"} in run["settings"]
    assert run["sha256"] == scored.rewards.digest


def test_self_edits_that_were_not_scored_are_there(scored: Any) -> None:
    found = view.gather(Workspace(scored.root), [scored.self_edits.id], 60)
    assert found["contexts"][0]["attempts"] == []  # their rewards are elsewhere in the store
    import shutil

    shutil.rmtree(scored.rewards.path)
    found = view.gather(Workspace(scored.root), [], 60)
    attempts = found["contexts"][0]["attempts"]
    assert len(attempts) == 4
    assert all(one["reward"] is None and one["grader"] is None for one in attempts)


def test_hostile_text_is_no_markup_and_its_control_characters_are_seen() -> None:
    text = view.page({"contexts": [{"title": HOSTILE, "nan": float("nan"), "none": None}]})
    assert "evil" not in text
    assert "alert" not in text
    (context,) = held(text)["contexts"]
    assert context["title"] == HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert context.keys() == {"title", "nan"}


def test_the_page_allows_its_own_script_alone_and_names_no_address(shown: Any) -> None:
    text, _ = shown
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert f"{directive} '{view._source(inside)}'" in policy
    own = re.sub(r'id="data">[^<]*', "", text)
    assert (
        re.findall(r"https?:|\bsrc=|@import|url\(|innerHTML|insertAdjacentHTML|\beval\(", own) == []
    )


def test_grids_are_drawn_and_demonstrations_are_pairs() -> None:
    assert json.dumps(view._shown("[[0, 1], [2, 3]]")) == '{"grid": [[0, 1], [2, 3]]}'
    task = json.dumps([{"input": [[1]], "output": [[2]]}])
    (pair,) = view._pairs(task) or []
    assert [json.dumps(one["grid"]) for one in pair] == ["[[1]]", "[[2]]"]
    assert view._pairs("A passage.") is None
    assert view._pairs("[" * 100_000) is None
    assert view._pairs('[{"input": "x", "output": "y"}]') is None


def test_open_asks_the_browser_for_the_file(
    scored: Any, seal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: asked.append(url) or True)
    result = seal("view", scored.rewards.id, "-o", tmp_path / "page.html", "--open")
    assert result.code == 0
    assert asked == [(tmp_path / "page.html").as_uri()]


def test_a_page_without_a_folder_or_a_store_is_refused(seal: Any, tmp_path: Path) -> None:
    assert seal("view", store=tmp_path / "none").code == 3
    assert seal("view", "-o", tmp_path / "none" / "page.html").code == 2


def test_a_regrade_shows_the_answers_that_it_judged(scored: Any, seal: Any) -> None:
    again = seal("regrade", scored.rewards.id, "--grader", "contained").id
    found = view.gather(Workspace(scored.root), [again], 60)
    attempts = [one for one in found["contexts"][0]["attempts"] if one["artifact_id"] == again]
    good = next(one for one in attempts if one["self_edit_id"] == scored.edits["good"])
    assert good["grader"].startswith("contained")
    assert len(good["flips"]) == 2
    assert len(good["adapters"]) == good["repeats"]


def test_self_edits_of_evaluations_stand_beside_each_other(
    seal: Any, random_model: Path, passages: Path, tmp_path: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    small = ["--engine", "scripted", "--epochs", 1, "--rank", 2, "--answer-tokens", 4]
    made = [seal("eval", random_model, contexts, *small, "--seed", seed).id for seed in (0, 1)]
    found = view.gather(Workspace(tmp_path / "store"), [], 60)
    assert len(found["contexts"]) == 3
    for context in found["contexts"]:
        assert sorted(one["artifact_id"] for one in context["attempts"]) == sorted(made)
        for one in context["attempts"]:
            assert one["text"]
            assert one["policy"]
            assert one["adapted"] == sum(row["after_share"] for row in one["flips"]) / 2
            assert one["gain"] == one["adapted"] - one["baseline"]
            assert one["adapters"][0]["first_loss"] > 0
    own = [row for row in found["rounds"] if row["method"] == "self-edits"]
    means = [one["adapted"] for context in found["contexts"] for one in context["attempts"]]
    assert [row["accuracy"] for row in own] == [pytest.approx(sum(means) / len(means), abs=1e-4)]
    only = view.gather(Workspace(tmp_path / "store"), made[:1], 60)
    assert [row["runs"] for row in only["rounds"] if row["method"] == "self-edits"] == [1]
    assert [row["runs"] for row in own] == [2]
