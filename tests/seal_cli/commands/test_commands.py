"""Every command has help, and the ones around the pipeline say what they should."""

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from seal_cli.app import Bench, Import, Seal
from seal_cli.groups import Group

COMMANDS = [
    ["init"], ["import", "contexts"], ["import", "official"], ["quiz"], ["generate"], ["adapt"],
    ["score"],
    ["filter"], ["update"],
    ["eval"], ["regrade"], ["loop"], ["ls"], ["show"], ["log"], ["why"], ["sql"], ["report"],
    ["view"], ["doctor"], ["bench", "adapters"], ["tag"], ["push"], ["pull"], ["verify"], ["rm"],
    ["gc"],
]  # fmt: skip


def test_every_command_is_listed_here() -> None:
    assert {name.split()[0] for name in listed(Seal, "")} == {command[0] for command in COMMANDS}


@pytest.mark.parametrize(("group", "prefix"), [(Seal, ""), (Import, "import "), (Bench, "bench ")])
def test_the_table_holds_the_first_line_of_each_help(group: type[Group], prefix: str) -> None:
    for name, (place, line) in listed(group, prefix).items():
        module, _, function = place.partition(":")
        if module:
            found = getattr(import_module(f"seal_cli.commands.{module}"), function)
            assert (inspect.getdoc(found) or "").splitlines()[0] == line, name
        assert len(line) <= 80 - len("  generate  ")


def listed(group: type[Group], prefix: str) -> dict[str, tuple[str, str]]:
    return {
        prefix + name: entry
        for commands in group.TABLE.values()
        for name, entry in commands.items()
    }


def test_the_store_may_stand_anywhere(seal: Any, tmp_path: Path, passages: Path) -> None:
    there = tmp_path / "there"
    made = seal("import", "contexts", passages, "--store", there).id
    assert made in seal("--store", tmp_path / "nowhere", "ls", "--store", there).out
    assert made in seal("import", "--store", there, "contexts", passages).out
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_for_every_option(seal: Any, command: list[str]) -> None:
    result = seal(*command, "--help")
    assert result.code == 0
    assert "Usage" in result.out


def test_stage_options_come_from_the_config(seal: Any) -> None:
    out = " ".join(seal("adapt", "--help").out.split())
    for text in ("--learning-rate", "Peak learning rate.", "[default: 0.001]", "--pad-targets"):
        assert text in out


@pytest.fixture
def edits(seal: Any, passages: Path, random_model: Path) -> str:
    contexts = seal("import", "contexts", passages).id
    scripted = ["--engine", "scripted", "--samples", 1]
    return str(seal("generate", contexts, "--policy", random_model, *scripted).id)


def test_init_makes_a_store_and_a_settings_file(seal: Any, tmp_path: Path) -> None:
    assert seal("init").out.strip() == str(tmp_path / "store")
    assert "[generate]" in (tmp_path / "cwd/seal.toml").read_text()
    assert "left as it is" in seal("init").err


def test_ls_lists_oldest_first(seal: Any, edits: str) -> None:
    lines = seal("ls").out.splitlines()
    assert lines[1].startswith("import-")
    assert lines[2].startswith(edits)
    rows = [json.loads(line) for line in seal("ls", "--json").out.splitlines()]
    assert [r["stage"] for r in rows] == ["import", "generate"]
    assert len(seal("ls", "generate", "--json").out.splitlines()) == 1


def test_show_prints_facts_and_rows(seal: Any, edits: str) -> None:
    out = seal("show", edits).out
    assert edits in out
    assert "self_edits 3" in out
    assert json.loads(seal("show", edits, "--json").out)["artifact_id"] == edits


def test_log_draws_the_lineage(seal: Any, edits: str) -> None:
    lines = seal("log", edits).out.splitlines()
    assert lines[0].startswith(edits)
    assert any("import-" in line and "3 contexts" in line for line in lines)
    assert any("model-" in line for line in lines)


def test_log_reads_stdin(seal: Any, edits: str) -> None:
    assert edits in seal("log", "-", stdin=edits + "\n").out


def test_doctor_names_the_line_for_what_is_missing(seal: Any) -> None:
    result = seal("doctor")
    assert result.code == 0
    assert "pip install -c constraints.txt -e '.[vllm]'" in result.out
    assert json.loads(seal("doctor", "--json").out)["torch"]["ok"]


def test_model_text_cannot_speak_to_the_terminal(seal: Any, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"title": "[red]x", "context": "a\u009b2J b"}) + "\n")
    contexts = seal("import", "contexts", path).id
    out = seal("show", contexts).out + seal("sql", "select * from contexts", "-f", "table").out
    assert "[red]x" in out
    assert "\x9b" not in out


def test_filter_exports_prompt_and_completion(seal: Any, edits: str, tmp_path: Path) -> None:
    rewards = seal("score", edits, "--rank", 2, "--epochs", 1, "--repeats", 1).id
    path = tmp_path / "sft.jsonl"
    selection = seal("filter", rewards, "--export", path)
    assert "3 self-edits written" in selection.err
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [list(row) for row in rows] == [["prompt", "completion"]] * 3
    assert path.read_bytes().endswith(b"}\n")
    assert seal("filter", rewards, "--export", path).id == selection.id


def test_a_rule_of_ones_own(seal: Any, edits: str, tmp_path: Path) -> None:
    rewards = seal("score", edits, "--rank", 2, "--epochs", 1, "--repeats", 1).id
    query = tmp_path / "longest.sql"
    query.write_text(
        "SELECT self_edit_id FROM rewards JOIN self_edits USING (self_edit_id)"
        " ORDER BY length(completion) DESC, self_edit_id LIMIT 1"
    )
    selection = seal("filter", rewards, "--rule", "sql", "--query", query).id
    query.rename(tmp_path / "renamed.sql")
    again = seal("filter", rewards, "--rule", "sql", "--query", tmp_path / "renamed.sql")
    assert again.id == selection  # the text counts, not the path
    kept = f"select count(*) from selections where kept and artifact_id = '{selection}'"
    assert seal("sql", kept, "-f", "csv").out.splitlines()[1] == "1"


def test_another_student_can_be_adapted(seal: Any, edits: str, chat_model: Path) -> None:
    small = ["--rank", 2, "--epochs", 1, "--repeats", 1]
    own = seal("score", edits, *small).id
    other = seal("score", edits, *small, "--student", chat_model).id
    assert own != other
    students = seal("sql", "select count(distinct student) from rewards", "-f", "csv").out
    assert students.splitlines()[1] == "2"


def test_a_policy_can_be_measured_on_another_student(
    seal: Any, passages: Path, random_model: Path, chat_model: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    small = ["--engine", "scripted", "--rank", 2, "--epochs", 1, "--limit", 1]
    own = seal("eval", random_model, contexts, *small).id
    assert seal("eval", random_model, contexts, *small, "--student", random_model).id == own
    other = seal("eval", random_model, contexts, *small, "--student", chat_model).id

    def ids(column: str, table: str) -> list[str]:
        query = f"SELECT DISTINCT {column} FROM {table} WHERE artifact_id = '{other}'"
        return list(seal("sql", query, "-f", "csv").out.split()[1:])

    (writer,) = ids("policy", "self_edits")
    assert ids("policy", "metrics") == [writer]
    (student,) = ids("student", "adapters")
    assert ids("student", "answers") == [student]  # also when it is unadapted
    assert student != writer


def test_a_prompt_of_ones_own_goes_through_the_chat_template(
    seal: Any, passages: Path, chat_model: Path, tmp_path: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    prompt = tmp_path / "mine.txt"
    prompt.write_text("Note {braces} about {title}: {context}")
    options = ["--prompt", prompt, "--samples", 1, "--max-tokens", 4]
    seal("generate", contexts, "--policy", chat_model, *options)
    seal("generate", contexts, "--policy", chat_model, *options, "--chat", "off")
    rows = seal("sql", "select prompt_name, prompt from self_edits order by 2", "-f", "json").out
    texts = [json.loads(line) for line in rows.splitlines()]
    assert {t["prompt_name"] for t in texts} == {"mine"}
    assert texts[0]["prompt"].startswith("Note {braces} about Harbour")
    assert texts[-1]["prompt"].startswith("[user] Note {braces} about Harbour")
    assert texts[-1]["prompt"].endswith("\n[assistant] ")
