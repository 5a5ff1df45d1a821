"""What a loop can be asked for: several prompts, another student, an early end, a budget."""

import json
from pathlib import Path
from typing import Any

import pytest

SETS = [
    "generate.engine=scripted", "adapt.epochs=1", "adapt.rank=2", "adapt.repeats=1",
    "update.rank=2", "update.epochs=1",
]  # fmt: skip


@pytest.fixture
def loop(seal: Any, passages: Path, random_model: Path) -> Any:
    """`loop(*options)`: one small round on two passages."""
    contexts = seal("import", "contexts", passages).id
    small = [
        "--contexts", contexts, "--policy", random_model, "--rounds", 1, "--limit", 2,
        "--samples", 1, "--eval-limit", 1, *(arg for pair in SETS for arg in ("--set", pair)),
    ]  # fmt: skip
    return lambda *options: seal("loop", *small, *options)


def test_prompts_side_by_side_are_the_loops_of_each(seal: Any, loop: Any) -> None:
    both = loop("--prompts", "rewrite, self-qa")
    assert both.code == 0, both.err
    ids = both.out.split()
    assert len(set(ids)) == 2
    assert "rewrite: round 1 self-edits" in both.err
    table = both.err.splitlines()[-3:]
    assert table[0].split() == ["prompt", "round", "0", "round", "1", "gain"]
    assert [line.split()[0] for line in table[1:]] == ["rewrite", "self-qa"]
    before = seal("ls").out
    alone = [loop("--set", f"generate.prompt={prompt}").id for prompt in ("rewrite", "self-qa")]
    assert alone == ids
    assert seal("ls").out == before  # every stage was a hit
    told = json.loads(loop("--prompts", "rewrite,self-qa", "--json").out)
    assert [(one["prompt"], one["policy"]) for one in told["prompts"]] == [
        ("rewrite", ids[0]),
        ("self-qa", ids[1]),
    ]


def test_a_prompt_that_there_is_not_is_refused_before_any_work(seal: Any, loop: Any) -> None:
    refused = loop("--prompts", "rewrite,nonsense")
    assert refused.code == 2
    assert "nonsense" in refused.err
    assert len(seal("ls", "--json").out.splitlines()) == 1  # the contexts


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--probe", "@latest:import"], "2 of the contexts that are learned about"),
        (["--racing", "halving"], "--racing gives out repeats"),
        (["--set", "generate.engine=openai"], "cannot apply adapters that are trained here"),
    ],
)
def test_what_a_later_stage_would_refuse_is_refused_before_any_work(
    seal: Any, loop: Any, options: list[str], said: str
) -> None:
    refused = loop(*options)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err
    assert len(seal("ls", "--json").out.splitlines()) == 1  # the contexts


def test_a_probe_is_checked_before_round_0(seal: Any, loop: Any, tmp_path: Path) -> None:
    """Of another domain or without questions it is refused, of an evaluation split it is said."""
    (notes := tmp_path / "notes").mkdir()
    (notes / "one.md").write_text("# One\nThe harbour is deep.")
    (asked := tmp_path / "asked.jsonl").write_text(
        '{"title": "Z", "context": "Zinc is grey.", "questions": '
        '[{"question": "What is grey?", "answer": "zinc"}]}\n'
    )
    grids = seal("import", "contexts", "tiny-grids", "--limit", 2).id
    blank = seal("import", "contexts", notes).id
    held_out = seal("import", "contexts", asked, "--split", "squad_val").id
    for probe, code, said in (
        (grids, 2, "is about arc"),
        (blank, 3, "have no questions"),
        (held_out, 2, "of split squad_val"),
    ):
        refused = loop("--probe", probe, "--prompts", "rewrite,nonsense")
        assert (refused.code, refused.out) == (code, ""), refused.err
        assert said in " ".join(refused.err.split())
    assert len(seal("ls", "--json").out.splitlines()) == 4  # the contexts


def test_the_teacher_is_trained_and_the_student_adapted(
    seal: Any, loop: Any, random_model: Path, chat_model: Path
) -> None:
    own = loop().id
    taught = loop("--student", chat_model)
    assert taught.code == 0, taught.err
    query = f"""
        SELECT r.policy AS writer, r.student, p.parent, m.policy AS measured, a.student AS examined
        FROM policies p JOIN selections s ON s.artifact_id = p.selection
        JOIN artifacts f ON f.artifact_id = p.selection
        JOIN rewards r ON r.artifact_id = f.inputs[1]
        JOIN metrics m ON m.policy = p.policy JOIN answers a ON a.artifact_id = m.artifact_id
        WHERE p.artifact_id = '{taught.id}' LIMIT 1
    """
    row = json.loads(seal("sql", query, "-f", "json").out.splitlines()[0])
    assert row["writer"] == row["parent"] != row["student"]
    assert row["measured"] == taught.id
    assert row["examined"] == row["student"]
    assert taught.id != own
    assert loop("--student", random_model).id == own  # in round 0 the policy is that student


def test_json_tells_the_rounds_and_the_best_of_them(loop: Any) -> None:
    policy = loop().id
    told = json.loads(loop("--json").out)
    assert (told["policy"], told["round"], told["stopped"]) == (policy, 1, None)
    assert [one["number"] for one in told["rounds"]] == [0, 1]
    assert len(told["metrics"]) == 2
    assert told["best"] in told["rounds"]
    assert {"gain", "gain_low", "gain_high"} <= told["rounds"][1].keys()


def test_an_empty_selection_ends_it_with_the_policy_it_has(loop: Any) -> None:
    rule = ["--set", "filter.rule=threshold", "--set", "filter.threshold=2"]
    ended = loop(*rule)
    assert ended.code == 0
    assert ended.out.startswith("model-")
    assert "keeps no self-edit: the loop ends here" in ended.err
    assert "keeps no self-edit" in json.loads(loop(*rule, "--json").out)["stopped"]


def test_a_spent_budget_is_said_and_the_same_command_goes_on(loop: Any, seal: Any) -> None:
    spent = loop("--budget", "0.001s")
    assert spent.code == 5
    assert spent.out == ""
    assert "the budget of 0.001s ran out" in spent.err
    assert "0 of 1 rounds done" in spent.err
    assert "Run the same command to go on" in spent.err
    done = loop("--budget", "10h").id
    assert loop().id == done
    assert loop("--budget", "0.001s").id == done  # everything is a hit: it takes no time of any


@pytest.mark.parametrize("budget", ["2 days", "h", "0s", "10", "-1h", "1s2h"])
def test_a_budget_that_is_no_time_is_refused(loop: Any, budget: str) -> None:
    refused = loop(f"--budget={budget}")
    assert refused.code == 2
    assert "1h30m" in refused.err


def test_the_same_prompt_twice_is_refused(loop: Any) -> None:
    for prompts in ("rewrite,rewrite", "rewrite,,self-qa", ","):
        assert loop("--prompts", prompts).code == 2
