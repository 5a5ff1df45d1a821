"""A probe beside the scoring: its key and answers, what may be one, and that it counts nowhere."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from passages import PASSAGES
from reading import tables_of
from stored import publish

from stages.domains import knowledge
from stages.exam import judge
from stages.grading import GRADERS
from stages.records import Adapter, Answer, Record, Reward, Verdict

SMALL = ["--rank", 2, "--epochs", 1, "--repeats", 2]


def imported(seal: Any, path: Path, rows: Sequence[Any], split: str = "train") -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(seal("import", "contexts", path, "--split", split).id)


@pytest.fixture
def edits(seal: Any, tmp_path: Path, random_model: Path) -> str:
    """Two self-edits about each of two passages."""
    contexts = imported(seal, tmp_path / "learned.jsonl", PASSAGES[:2])
    scripted = ["--engine", "scripted", "--samples", 2]
    return str(seal("generate", contexts, "--policy", random_model, *scripted).id)


@pytest.fixture
def probe(seal: Any, tmp_path: Path) -> str:
    return imported(seal, tmp_path / "probe.jsonl", PASSAGES[2:])


def rows(seal: Any, query: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in seal("sql", query, "-f", "json").out.splitlines()]


def test_every_adapter_is_probed_and_the_unadapted_student_once(
    seal: Any, edits: str, probe: str, tmp_path: Path
) -> None:
    plain = seal("score", edits, *SMALL).id
    rewards = seal("score", edits, *SMALL, "--probe", probe, "--slots", 1).id
    assert rewards != plain
    found = tables_of(tmp_path / "store" / "artifacts" / rewards)
    probed = [row for row in found["__answers"] if row["scope"] == "probe"]
    assert len(probed) == (2 * 2 * 2 + 1) * 2  # adapters and the unadapted, two questions each
    asked = rows(
        seal, f"SELECT question_id, context_id FROM questions WHERE artifact_id = '{probe}'"
    )
    about = {row["question_id"]: row["context_id"] for row in asked}
    assert all(row["about_context_id"] == about[row["question_id"]] for row in probed)
    made_for = {row["self_edit_id"]: row["context_id"] for row in found[""]}
    made_for[None] = found[""][0]["context_id"]
    assert all(row["context_id"] == made_for[row["self_edit_id"]] for row in probed)
    own = [row for row in found["__answers"] if row["scope"] == "own"]
    assert {row["about_context_id"] for row in own} == {None}
    assert len({row["answer_id"] for row in found["__answers"]}) == len(found["__answers"])
    assert all(row["probe_baseline"] is not None for row in found[""])
    without = tables_of(tmp_path / "store" / "artifacts" / plain)
    drop = {"artifact_id", "probe_baseline", "probe_accuracy"}
    same = [
        [{k: v for k, v in row.items() if k not in drop} for row in table[""]]
        for table in (found, without)
    ]
    assert same[0] == same[1]  # it changes no reward
    manifest = json.loads(
        (tmp_path / "store" / "artifacts" / rewards / "_manifest.json").read_text()
    )
    assert manifest["key"]["probe"] == {
        "contexts": probe, "limit": 10, "semantics": 1,
    }  # fmt: skip
    assert manifest["inputs"][-1]["artifact_id"] == probe


def test_the_limit_of_a_probe_is_in_the_key_only_with_one(
    seal: Any, edits: str, probe: str
) -> None:
    plain = seal("score", edits, *SMALL).id
    assert seal("score", edits, *SMALL, "--probe-limit", 3).id == plain
    probed = seal("score", edits, *SMALL, "--probe", probe).id
    assert seal("score", edits, *SMALL, "--probe", probe, "--probe-limit", 3).id != probed


def noise_by_artifact(report: Any, **where: Path) -> dict[str, dict[str, str]]:
    return {row.pop("artifact_id"): row for row in report("reward-noise", **where)}


def test_probe_answers_count_in_no_other_table(
    seal: Any, report: Any, edits: str, probe: str
) -> None:
    rewards = seal("score", edits, *SMALL).id
    (before,) = noise_by_artifact(report).values()
    probed = seal("score", edits, *SMALL, "--probe", probe).id
    noise = noise_by_artifact(report)
    assert noise[rewards] == noise[probed] == before
    assert rows(seal, "SELECT count(*) AS n FROM accuracies") == [{"n": 0}]
    edit = rows(seal, f"SELECT self_edit_id FROM rewards WHERE artifact_id = '{probed}' LIMIT 1")
    why = json.loads(seal("why", edit[0]["self_edit_id"], "--rewards", probed, "--json").out)
    assert len(why["questions"]) == 2
    assert all(len(asked["after"]) == 2 for asked in why["questions"])


@pytest.fixture
def by_hand(scored: Any) -> Any:
    """The rewards of `scored` with a probe of one question about Lun, as answered by hand.

    `exact` takes "1956" alone, `contained` also "in 1956": the unadapted student says the latter,
    the adapters of `good` and the first of `mixed` too, the second "1956"; `bad` knows nothing.
    """
    context, asked = knowledge.read(
        PASSAGES[2] | {"questions": PASSAGES[2]["questions"][:1]}, ordinal=0, split="known"
    )
    probe = publish(scored.root, "import", "contexts", [context, *asked], name="probe")
    rows: list[Record] = []
    for record in (Adapter, Answer, Verdict, Reward):
        rows += scored.rewards.rows(record)
    said = {None: ["in 1956"], "good": ["in 1956"] * 2, "mixed": ["in 1956", "1956"]}
    said["bad"] = ["no", "no"]
    learned = scored.rewards.rows(Reward)[0].context_id
    for name, texts in said.items():
        edit = scored.edits[name] if name else None
        for repeat, text in enumerate(texts):
            worn = f"{edit}/{repeat}" if edit else None
            answer = Answer(
                f"probe {name} {repeat}", learned, asked[0].question_id, "model", edit, worn,
                "self-edits" if edit else "unadapted", repeat, text, 1, scope="probe",
                about_context_id=context.context_id,
            )  # fmt: skip
            rows += [answer, *judge(GRADERS["exact"], [(asked[0], answer)])]
    return publish(
        scored.root, "score", "rewards", rows, [scored.self_edits], name="probed", aside=[probe],
        config=scored.rewards.manifest["config"],
    )  # fmt: skip


def test_a_probe_by_hand_counts_in_no_report(
    seal: Any, report: Any, scored: Any, by_hand: Any
) -> None:
    noise = noise_by_artifact(report, store=scored.root)
    assert noise[scored.rewards.id] == noise[by_hand.id]
    for artifact in (scored.rewards.id, by_hand.id):
        seal("regrade", artifact, "--grader", "contained", store=scored.root)
    for name in ("grader-agreement", "empty-answers"):
        told: dict[str, list[Any]] = {}
        for line in report(name, store=scored.root):
            told.setdefault(line.pop("artifact_id"), []).append(line)
        assert told[scored.rewards.id] == told[by_hand.id], name
    why = json.loads(seal("why", scored.edits["mixed"], "--json", store=scored.root).out)
    assert len(why["questions"]) == 2


def test_a_probe_by_hand_judged_again(seal: Any, scored: Any, by_hand: Any) -> None:
    def kept(grader: str) -> list[tuple[float, float]]:
        made = seal("regrade", by_hand.id, "--grader", grader, store=scored.root).id
        table = tables_of(scored.root / "artifacts" / made)[""]
        return [(row["probe_baseline"], row["probe_accuracy"]) for row in table]

    assert kept("exact") == [(0.0, 0.0), (0.0, 0.5), (0.0, 0.0), (0.0, None)]
    assert kept("contained") == [(1.0, 1.0), (1.0, 1.0), (1.0, 0.0), (1.0, None)]


def test_max_forget_selects_by_the_probe(seal: Any, edits: str, probe: str) -> None:
    refused = seal("filter", seal("score", edits, *SMALL).id, "--max-forget", 5)
    assert refused.code == 3
    assert "--probe CONTEXTS" in refused.err
    rewards = seal("score", edits, *SMALL, "--probe", probe).id
    plain = seal("filter", rewards).id
    picky = seal("filter", rewards, "--max-forget", 0)
    assert picky.id != plain
    assert seal("filter", rewards, "--max-forget", 5).id != picky.id


def test_a_regrade_judges_the_probe_again(seal: Any, edits: str, probe: str) -> None:
    rewards = seal("score", edits, *SMALL, "--probe", probe).id
    again = seal("regrade", rewards, "--grader", "offline").id
    query = """
        SELECT self_edit_id, probe_baseline, probe_accuracy, reward
        FROM rewards WHERE artifact_id = '{}' ORDER BY 1
    """
    assert rows(seal, query.format(again)) == rows(seal, query.format(rewards))
    assert all(r["probe_accuracy"] is not None for r in rows(seal, query.format(again)))
    other = seal("regrade", rewards, "--grader", "exact").id
    assert seal("filter", other, "--max-forget", 50).code == 0


def test_a_probe_of_the_passages_that_are_learned_is_refused(
    seal: Any, edits: str, tmp_path: Path
) -> None:
    both = imported(seal, tmp_path / "both.jsonl", PASSAGES[1:])
    refused = seal("score", edits, *SMALL, "--probe", both)
    assert refused.code == 2
    assert "1 of the contexts that are learned about are in the probe" in refused.err
    grids = seal("import", "contexts", "tiny-grids", "--split", "train").id
    assert "of the same domain" in seal("score", edits, *SMALL, "--probe", grids).err
    silent = imported(seal, tmp_path / "silent.jsonl", [{"title": "Lake", "context": "Deep."}])
    refused = seal("score", edits, *SMALL, "--probe", silent)
    assert refused.code == 3
    assert "no questions" in refused.err


def test_a_probe_for_evaluation_is_pointed_out(seal: Any, edits: str, tmp_path: Path) -> None:
    held_out = imported(seal, tmp_path / "held-out.jsonl", PASSAGES[2:], "val")
    said = seal("score", edits, *SMALL, "--probe", held_out)
    assert said.code == 0
    assert "the probe is of split val" in said.err


def test_a_loop_probes_every_round(
    seal: Any, probe: str, random_model: Path, tmp_path: Path
) -> None:
    contexts = imported(seal, tmp_path / "learned.jsonl", PASSAGES[:2])
    sets = ["generate.engine=scripted", "adapt.epochs=1", "adapt.rank=2", "update.rank=2"]
    loop = [
        "loop", "--contexts", contexts, "--policy", random_model, "--rounds", 1, "--samples", 1,
        "--repeats", 1, "--eval-limit", 1, *(arg for pair in sets for arg in ("--set", pair)),
    ]  # fmt: skip
    made = seal(*loop, "--probe", probe, "--set", "filter.max_forget=100")
    assert made.code == 0, made.err
    found = rows(seal, "SELECT count(*) AS n FROM rewards WHERE probe_accuracy IS NOT NULL")
    assert found == [{"n": 2}]
    assert seal(*loop, "--set", "filter.max_forget=100").code == 3  # no probe


def test_failed_probe_answers_are_retried_with_their_self_edits(
    seal: Any, edits: str, probe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.engines import transformers as engine

    whole = engine.TransformersEngine.complete
    broken = {"now": True}

    def complete(self: Any, requests: Any, loras: Any = ()) -> Any:
        from dataclasses import replace

        given = list(whole(self, requests, loras))
        worn = list(loras) or [None] * len(given)
        for i, (request, lora) in enumerate(zip(requests, worn, strict=True)):
            if broken["now"] and lora is not None and "Harbour Lun" in request.prompt:
                given[i] = replace(given[i], error="the engine is down")
                broken["now"] = False
        return given

    monkeypatch.setattr(engine.TransformersEngine, "complete", complete)
    calm = ["score", edits, *SMALL, "--probe", probe, "--slots", 1]
    first = seal(*calm)
    assert "1 failed rows" in first.err
    again = seal(*calm, "--retry-failed").id
    assert again != first.id
    found = tables_of(tmp_path / "store" / "artifacts" / again)
    assert len({row["answer_id"] for row in found["__answers"]}) == len(found["__answers"])
    assert len([r for r in found["__answers"] if r["scope"] == "probe"]) == (2 * 2 * 2 + 1) * 2
    assert all(row["probe_accuracy"] is not None for row in found[""])
