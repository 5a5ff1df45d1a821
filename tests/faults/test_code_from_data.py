"""Nothing that a model, an import, a manifest or a server brings along runs, leads out or leaks."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.errors import InputError
from stages.loading import load
from stages.models import check_directory

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(random_model: Path, tmp_path: Path) -> Path:
    """A model to make hostile; importing its module leaves the file `ran`."""
    folder = tmp_path / "model"
    shutil.copytree(random_model, folder)
    (folder / "evil.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\n"
        "from transformers import PreTrainedTokenizerFast\n"
        "class Evil(PreTrainedTokenizerFast): ...\n"
    )
    return folder


def change(file: Path, **more: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | more))


def hostile_tokenizer(folder: Path) -> None:
    change(
        folder / "tokenizer_config.json",
        auto_map={"AutoTokenizer": [None, "evil.Evil"]},
        tokenizer_class="Evil",
    )


def escaped(folder: Path) -> None:
    hostile_tokenizer(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(file.read_text().replace("auto_map", "\\u0061uto_map"))


def elsewhere(folder: Path) -> None:
    (folder / "processor_config.json").write_text('{"a": [{"auto_map": {"AutoProcessor": "e.E"}}]}')


@pytest.mark.parametrize("make", [hostile_tokenizer, escaped, elsewhere])
def test_code_is_refused_in_every_json(copy: Path, make: Callable[[Path], None]) -> None:
    make(copy)
    with pytest.raises(InputError, match="never run"):
        check_directory(copy)


def test_without_the_check_the_code_does_not_run_either(
    copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hostile_tokenizer(copy)
    monkeypatch.setattr("stages.models.check_files", lambda _: None)
    monkeypatch.setattr("builtins.input", lambda _="": pytest.fail("it asks"))
    with pytest.raises(InputError):
        load.__wrapped__(copy, "cpu", "float32")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "said",
    [
        {"_attn_implementation": "kernels-community/flash-attn"},
        {"attn_implementation": "kernels-community/flash-attn"},
        {"_attn_implementation": "flash_attention_2"},
        {"text_config": {"_attn_implementation_internal": "someone/kernel@main:f"}},
        {"_experts_implementation": "someone/experts"},
        {"attn_implementation": {"": "someone/kernel"}},
        {"attn_implementation": ["eager"]},
    ],
)
def test_an_implementation_by_name_is_refused(copy: Path, said: dict[str, Any]) -> None:
    change(copy / "config.json", **said)
    with pytest.raises(InputError, match="may load code from the hub"):
        check_directory(copy)


def test_an_implementation_of_transformers_own_is_not(copy: Path) -> None:
    change(copy / "config.json", _attn_implementation="sdpa")
    assert check_directory(copy)["_attn_implementation"] == "sdpa"


def test_every_from_pretrained_is_local_and_trusts_nothing() -> None:
    calls = []
    for path in [*(ROOT / "stages").rglob("*.py"), *(ROOT / "seal_cli").rglob("*.py")]:
        source = path.read_text()
        local = source.count('"trust_remote_code": False') and source.count("**local")
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr != "from_pretrained":
                continue
            given = {k.arg: k.value for k in node.keywords}
            calls.append(node)
            of = ast.unparse(node.func.value)
            trusts = given.get("trust_remote_code", ast.Constant(value=None))
            safe = of == "GenerationConfig" or (local and None in given)  # which runs no code
            assert safe or ast.unparse(trusts) == "False", (path, node.lineno)
            files = ast.unparse(given.get("local_files_only", ast.Constant(value=None)))
            assert files == "True" or None in given, (path, node.lineno)
    assert len(calls) >= 5


def test_no_library_reads_our_stdin() -> None:
    program = (
        "from seal_cli import console\nconsole.take_stdin()\nimport subprocess, sys\n"
        "try:\n    input()\nexcept EOFError:\n    print('nothing for a library')\n"
        "print(subprocess.run(['cat'], capture_output=True, text=True).stdout or 'nor a child')\n"
        "print(console.piped())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input="an id\n", capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.split("\n")[:3] == ["nothing for a library", "nor a child", "an id"]


def outside(tmp_path: Path, content: str = "A secret of ours.") -> Path:
    path = tmp_path / "outside.txt"
    path.write_text(content)
    return path


@pytest.mark.parametrize("kind", ["file", "relative", "folder"])
def test_a_link_out_of_an_imported_folder_is_refused(seal: Any, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.md").write_text("# A\nA text.")
    secret = outside(tmp_path)
    target = {"file": secret, "relative": Path("..") / secret.name, "folder": tmp_path}[kind]
    (folder / ("b" if kind == "folder" else "b.txt")).symlink_to(target)
    result = seal("import", "contexts", folder)
    if kind == "folder":  # it is not entered
        assert (result.code, "1 contexts" in result.err) == (0, True)
    else:
        assert (result.code, "leads out of" in result.err) == (3, True)


def test_a_link_within_an_imported_folder_is_a_file(seal: Any, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "a.md").write_text("# A\nA text.")
    (folder / "b.md").symlink_to(Path("in") / "a.md")
    assert seal("import", "contexts", folder).code == 0


def test_a_task_that_is_a_link_out_of_its_folder_is_refused(seal: Any, tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "a.json").symlink_to(outside(tmp_path, "{}"))
    result = seal("import", "contexts", folder, "--domain", "arc")
    assert (result.code, "leads out of" in result.err) == (3, True)


def test_a_saved_dataset_names_no_rows_elsewhere(seal: Any, tmp_path: Path) -> None:
    from datasets import Dataset

    for name in ("mine", "theirs"):
        rows = [{"title": "T", "context": f"A text of {name}.", "questions": []}]
        Dataset.from_list(rows).save_to_disk(tmp_path / name)
    state = tmp_path / "theirs" / "state.json"
    (file,) = (tmp_path / "mine").glob("*.arrow")
    change(state, _data_files=[{"filename": f"../mine/{file.name}"}])
    result = seal("import", "contexts", tmp_path / "theirs")
    assert (result.code, "leads out of" in result.err) == (3, True)


def test_a_file_of_a_release_that_leads_out_is_left_out(seal: Any, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "a.json").symlink_to(outside(tmp_path, '[{"title": "T", "context": "secret"}]'))
    result = seal("import", "official", folder)
    assert result.code == 3
    assert "leads out of the folder" in result.err


def test_a_manifest_makes_nobody_ask_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    from seal_cli.pipeline.models import find_model
    from seal_cli.store.workspace import Workspace
    from stages.errors import ConfigError

    asked = []

    def snapshot_download(name: str, **how: Any) -> str:
        asked.append(how.get("local_files_only"))
        raise LocalEntryNotFoundError("not here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    known = {"name": "someone/model", "path": str(tmp_path / "gone")}
    with pytest.raises(ConfigError):
        find_model(Workspace(tmp_path / "store"), "model-0123456789abcdef", known)
    assert asked == [True]


@pytest.mark.parametrize(
    "letter", ["\u202e", "\u2028", "\u2029", "\u2066", "\u2069", "\u200f", "\x1b", "\x9b", "\ud800"]
)
def test_what_turns_or_breaks_a_line_is_shown(letter: str) -> None:
    from seal_cli import console

    shown = console.safe(f"a{letter}b")
    assert letter not in shown
    assert f"{ord(letter):02x}" in shown
    assert console.safe("plain ä 漢 \t\n") == "plain ä 漢 \t\n"


def test_a_page_runs_and_loads_nothing() -> None:
    from seal_cli.reports.page import page

    head = page([], "<script>alert(1)</script>\u202e").split("<body>")[0]
    assert "default-src 'none'" in head
    assert "script-src" not in head
    assert head.index("Content-Security-Policy") < head.index("<style>")
    assert "<script>" not in page([], "<script>alert(1)</script>")


def test_a_token_in_an_addresss_path_is_written_nowhere(
    seal: Any, passages: Path, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.engines.openai._FIRST_WAIT", 0.01)
    token = "tok-marked-0123"
    server.start()
    contexts = seal("import", "contexts", passages).id
    url = f"{server.url.removesuffix('/v1')}/{token}/v1"
    monkeypatch.setattr(
        sys, "argv", ["seal", "generate", "-", "--base-url", url, f"--set=endpoint.base_url={url}"]
    )
    named = ["--engine", "openai", "--policy", "teacher", "--base-url", url]
    made = seal("generate", contexts, *named).id
    manifest = json.loads(seal("show", made, "--json").out)
    assert token not in json.dumps(manifest)
    assert server.url.removesuffix("/v1") in json.dumps(manifest)
    server.start(share=1, faults="400")
    failed = seal("generate", contexts, *named, "--seed", 3)
    assert "15 failed rows" in failed.err
    assert token not in failed.err
    assert token not in seal("sql", "select * from self_edits", "-f", "json").out
    store = next(path for path in passages.parent.rglob("artifacts")).parent
    for path in store.rglob("*"):
        if path.is_file() and path.suffix != ".parquet":
            assert token.encode() not in path.read_bytes(), path
