"""Models behind a server from the shell: teachers that write, judges that judge, keys that stay."""

import json
from pathlib import Path
from typing import Any

import pytest
from endpoint import Server

from seal_cli.settings import Settings
from stages.engines.settings import EndpointConfig
from stages.errors import ConfigError
from stages.grading.judge import JudgeConfig

ROOT = Path(__file__).parents[3]
SMALL = ["--rank", 2, "--epochs", 1, "--repeats", 1, "--max-length", 64, "--answer-tokens", 8]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.engines.openai._FIRST_WAIT", 0.01)
    for name in ("SEAL_API_KEY", "SEAL_JUDGE_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def rows(seal: Any, query: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in seal("sql", query, "-f", "json").out.splitlines()]


@pytest.fixture
def contexts(seal: Any, passages: Path) -> str:
    return str(seal("import", "contexts", passages).id)


@pytest.fixture
def teach(seal: Any, contexts: str, server: Server) -> Any:
    """`teach(*flags)`: two self-edits per passage by a teacher."""

    def go(*flags: object) -> Any:
        named = ["--engine", "openai", "--policy", "teacher", "--base-url", server.url]
        return seal("generate", contexts, *named, "--samples", 2, *flags)

    return go


def test_a_teacher_writes_and_is_asked_once(seal: Any, teach: Any, server: Server) -> None:
    server.start()
    done = teach()
    assert "teacher: 6 requests answered" in done.err
    found = rows(seal, "select * from self_edits")
    assert [r["status"] for r in found] == ["ok"] * 6
    assert len({r["completion"] for r in found}) == 6
    assert {r["policy"] for r in found} == {"endpoint-" + found[0]["policy"][-16:]}
    (policy,) = rows(seal, "select * from policies")
    assert (policy["name"], policy["path"], policy["round"]) == ("teacher", None, 0)
    (manifest,) = [json.loads(seal("show", done.id, "--json").out)]
    writing = manifest["key"]["writing"]
    assert writing["model"]["id"] == found[0]["policy"]
    assert writing["engine"] == {
        "name": "openai", "semantics": 1, "api": "chat", "structured": "none",
    }  # fmt: skip
    assert list(manifest["models"].values()) == [
        {"name": "teacher", "server": server.url.removesuffix("/v1")}  # no path: it may be secret
    ]
    server.stop()
    assert teach().id == done.id  # a hit asks nobody
    forced = teach("--force")  # what was answered is not paid for again, wherever the server is
    assert "6 answers were there already" in forced.err
    assert seal("show", forced.id).code == 0


def test_the_api_and_nothing_about_the_address_is_in_the_id(teach: Any, server: Server) -> None:
    server.start()
    chat = teach().id
    assert teach("--api", "chat", "--concurrency", 2, "--attempts", 1).id == chat
    assert teach("--chat", "on").id == chat
    plain = teach("--api", "completions").id
    assert plain != chat
    assert "messages" not in server.events()[-1]["body"]
    disagree = teach("--api", "chat", "--chat", "off")
    assert disagree.code == 2
    assert "--api chat and --chat off do not agree" in disagree.err


def test_what_failed_is_tried_again_and_the_rest_is_not(
    seal: Any, teach: Any, server: Server
) -> None:
    server.start(share=0.5, faults="400", seed=2)
    first = teach("--concurrency", 1)
    failed = rows(seal, "select * from self_edits where status = 'failed'")
    assert 0 < len(failed) < 6
    assert "the server refused with 400" in failed[0]["reason"]
    assert f"{len(failed)} failed rows" in first.err
    server.start()
    again = teach("--retry-failed")
    query = f"select * from self_edits where artifact_id = '{again.id}'"
    assert [r["status"] for r in rows(seal, query)] == ["ok"] * 6
    assert sorted(server.answered().values()) == [1] * 6


def test_a_budget_ends_a_run_that_the_same_command_goes_on_with(teach: Any, server: Server) -> None:
    server.start()
    stopped = teach("--request-budget", 4)
    assert (stopped.code, stopped.out) == (5, "")
    assert "the budget is spent: 4 requests answered" in stopped.err
    assert "Run the same command" in stopped.err
    done = teach("--request-budget", 4)
    assert "2 requests answered" in done.err
    assert "4 answers were there already" in done.err
    assert sorted(server.answered().values()) == [1] * 6


def test_what_a_teacher_wrote_is_scored_with_a_student(
    seal: Any, teach: Any, server: Server, random_model: Path
) -> None:
    server.start()
    edits = teach().id
    for command in ("score", "adapt"):
        refused = seal(command, edits)
        assert refused.code == 2
        assert "written by teacher behind a server" in refused.err
        assert "--student" in refused.err
    rewards = seal("score", edits, "--student", random_model, *SMALL).id
    assert {r["status"] for r in rows(seal, "select * from rewards")} == {"ok"}
    selection = seal("filter", rewards).id
    refused = seal("update", selection)
    assert refused.code == 2
    assert "--policy for update" in refused.err
    updated = seal(
        "update", selection, "--policy", random_model, "--rank", 2, "--epochs", 1,
        "--max-length", 512, "--allow-split", "train",
    )  # fmt: skip
    assert updated.code == 0, updated.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["eval", "tiny", "@latest:import", "--engine", "openai"], 2, "cannot apply"),
        (
            ["generate", "@latest:import", "--policy", "t", "--engine", "openai"],
            2,
            "no address is known for t",
        ),
        (["generate", "@latest:import", "--policy", "endpoint-0123456789abcdef"], 3, "no weights"),
    ],
)
def test_what_a_server_is_not_for_is_said(
    seal: Any, contexts: str, arguments: list[str], code: int, message: str
) -> None:
    refused = seal(*arguments)
    assert refused.code == code
    assert message in refused.err


def test_no_torch_is_loaded_to_ask_a_server(
    teach: Any, server: Server, contexts: str, tmp_path: Path
) -> None:
    import subprocess
    import sys

    server.start()
    arguments = [
        "seal", "--store", str(tmp_path / "store"), "generate", contexts, "--engine", "openai",
        "--policy", "t", "--base-url", server.url, "--samples", "1",
    ]  # fmt: skip
    program = (
        f"import sys\nsys.argv = {arguments}\nfrom seal_cli.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'openai' in sys.modules\nassert 'torch' not in sys.modules, 'torch'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_judge_and_the_offline_grader_side_by_side(
    seal: Any, contexts: str, server: Server, random_model: Path
) -> None:
    scripted = ["--engine", "scripted", "--samples", 1]
    edits = seal("generate", contexts, "--policy", random_model, *scripted).id
    server.start(reply="judge")
    flags = ["--grader", "judge:j", "--base-url", server.url, *SMALL]
    scored = seal("score", edits, *flags)
    found = rows(seal, "select grader, count(*) as n from verdicts group by grader order by 1")
    assert [r["grader"] for r in found] == ["judge:j", "offline-2"]
    assert found[0]["n"] == found[1]["n"] > 0
    assert {r["grader"] for r in rows(seal, "select grader from rewards")} == {"judge:j"}
    manifest = json.loads(seal("show", scored.id, "--json").out)
    assert manifest["key"]["examining"]["beside"] == [{"name": "offline-2", "semantics": 1}]
    # Verdicts are kept across runs and artifacts: nothing is asked twice.
    n_asked = sum(server.answered().values())
    seal("regrade", scored.id, "--grader", "judge:j", "--base-url", server.url)
    assert sum(server.answered().values()) == n_asked
    report = rows(seal, "select * from judgements")
    assert {r["grader"] for r in report} == {"judge:j", "offline-2"}


def test_verdicts_of_a_judge_make_rewards_and_agreement(
    seal: Any, scored: Any, server: Server
) -> None:
    server.start(reply="judge")
    again = seal("regrade", scored.rewards.id, "--grader", "judge:j", "--base-url", server.url)
    query = f"select * from rewards where artifact_id = '{again.id}' order by sample"
    assert [r["reward"] for r in rows(seal, query)] == [1.0, 0.5, 0.0, -1.0]
    texts = rows(seal, "select distinct question_id, text from answers where trim(text) <> ''")
    assert sum(server.answered().values()) == len(texts)  # each judged once
    report = seal("report", "grader-agreement", "--format", "csv")
    assert "judge:j" in report.out


def test_a_judge_that_is_down_fails_rows_and_is_asked_again(
    seal: Any, scored: Any, server: Server
) -> None:
    server.start(reply="judge", share=0.4, faults="500", seed=1)
    flags = ["--grader", "judge:j", "--base-url", server.url]
    first = seal("regrade", scored.rewards.id, *flags, "--attempts", 1, "--concurrency", 1)
    unjudged = rows(seal, "select * from verdicts where correct is null")
    assert unjudged
    assert {r["reason"][:31] for r in unjudged} == {"the server refused with 500: fa"}
    failed = f"select * from rewards where artifact_id = '{first.id}' and status = 'failed'"
    assert {r["reward"] for r in rows(seal, failed)} == {None}
    assert "--retry-failed runs them again" in first.err
    server.start(reply="judge")
    again = seal("regrade", scored.rewards.id, *flags, "--retry-failed")
    query = f"select * from rewards where artifact_id = '{again.id}' order by sample"
    assert [r["reward"] for r in rows(seal, query)] == [1.0, 0.5, 0.0, -1.0]
    assert max(server.answered().values()) == 1


def test_an_unclear_judge_is_never_wrong(seal: Any, scored: Any, server: Server) -> None:
    server.start(reply="It is hard to say.")
    again = seal("regrade", scored.rewards.id, "--grader", "judge:j", "--base-url", server.url)
    query = f"select * from verdicts where artifact_id = '{again.id}' and reason <> 'empty answer'"
    found = rows(seal, query)
    assert {r["correct"] for r in found} == {None}
    assert {r["reason"] for r in found} == {"no clear verdict: 'It is hard to say.'"}


def test_a_judges_settings_fall_back_on_the_endpoints(tmp_path: Path) -> None:
    file = tmp_path / "seal.toml"
    file.write_text(
        '[endpoint]\nbase_url = "http://a/v1"\nattempts = 3\nstructured = "vllm"\n'
        "[judge]\nattempts = 9\n"
    )
    settings = Settings(file, environ={"SEAL_API_KEY": "k", "SEAL_JUDGE_API_KEY": "k"})
    judge = settings.resolve(JudgeConfig)
    assert (judge.base_url, judge.attempts) == ("http://a/v1", 9)
    assert settings.resolve(EndpointConfig).attempts == 3


def test_a_model_folder_does_not_say_where_texts_go(tmp_path: Path) -> None:
    (tmp_path / "seal.toml").write_text('[endpoint]\nbase_url = "http://evil/v1"\n')
    settings = Settings(None, environ={})
    assert settings.resolve(EndpointConfig, None, tmp_path).base_url == ""


@pytest.mark.parametrize("section", ["endpoint", "judge"])
def test_a_key_is_refused_wherever_it_would_be_stored(tmp_path: Path, section: str) -> None:
    file = tmp_path / "seal.toml"
    file.write_text(f'[{section}]\napi_key = "sk-marked"\n')
    variable = {f"SEAL_{section.upper()}_BASE_URL": "x"}
    for make in (
        lambda: Settings(file, environ={}),
        lambda: Settings(None, [f"{section}.api_key=sk-marked"], environ=variable),
        lambda: Settings(None, ["api_key=sk-marked"], environ={}),
    ):
        with pytest.raises(ConfigError) as refused:
            make()
        assert "sk-marked" not in refused.value.message + refused.value.hint
