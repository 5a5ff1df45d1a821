"""Bad input gets the documented exit code and a sentence with what to do; the store is unharmed."""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seal_cli.store.files import read_sealed, write_sealed
from seal_cli.store.publish import entry
from seal_cli.store.workspace import Workspace


@pytest.fixture
def fails(seal: Any, tmp_path: Path) -> Callable[..., Any]:
    """Runs a command that must fail with `code` and leave the store as it was."""

    def run(code: int, *args: object, says: str = "", stdin: str | None = None) -> Any:
        workspace = Workspace(tmp_path / "store")
        before = workspace.ids()
        result = seal(*args, stdin=stdin)
        assert result.code == code, result.err
        assert says in result.err, result.err
        assert "Traceback" not in result.err
        assert result.out == ""
        assert workspace.ids() == before
        assert len(list(workspace.all())) == len(before)
        return result

    return run


@pytest.fixture
def contexts(seal: Any, passages: Path) -> str:
    return str(seal("import", "contexts", passages).id)


@pytest.fixture
def edits(seal: Any, contexts: str, random_model: Path) -> str:
    scripted = ["--engine", "scripted", "--samples", 1]
    return str(seal("generate", contexts, "--policy", random_model, *scripted).id)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("broken.json", '[{"title": ', "not valid JSON"),
        ("other.json", '{"a": 1}', "neither SQuAD v1.1 nor a list"),
        ("wrong.json", '[{"headline": "x"}]', "has no text"),
        ("numbers.json", "[1, 2]", "not an object"),
        ("deep.json", "[" * 100_000, "not valid JSON"),
        ("squad.json", '{"data": [{"title": "t"}]}', "not SQuAD v1.1"),
        ("lines.jsonl", '{"context": "a"}\n{"context": ', "line 2"),
        ("question.jsonl", '{"context": "a", "questions": [{"q": 1}]}', "is not understood"),
        ("empty.jsonl", "", "no passage was found"),
        ("latin.jsonl", b'{"context": "caf\xe9"}', "not UTF-8"),
        ("fake.parquet", "PAR1 no", "not readable Parquet"),
        ("sheet.xlsx", "x", "no known form"),
    ],
)
def test_files_that_cannot_be_imported(
    fails: Any, tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    fails(3, "import", "contexts", path, says=says)


def test_a_missing_file(fails: Any, tmp_path: Path) -> None:
    fails(3, "import", "contexts", tmp_path / "nothing.json", says="there is no file")


def test_a_parquet_file_that_unpacks_to_gigabytes(
    fails: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seal_cli.importers import readers

    monkeypatch.setattr(readers, "MAX_BYTES", 1 << 24)
    path = tmp_path / "bomb.parquet"
    text = pa.array(["x" * 900_000]).dictionary_encode()
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), text.dictionary)
    pq.write_table(pa.table({"context": column}), path)
    assert path.stat().st_size < 200_000
    fails(3, "import", "contexts", path, says="unpacks to more than")


def test_unknown_models(fails: Any, contexts: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    fails(3, "generate", contexts, "--policy", tmp_path / "nope", says="there is no model")
    fails(3, "generate", contexts, "--policy", empty, says="no config.json")


def test_models_that_could_run_code(
    fails: Any, contexts: str, random_model: Path, tmp_path: Path
) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(random_model, pickled)
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    fails(3, "generate", contexts, "--policy", pickled, says="pickled weights")
    own = tmp_path / "own"
    shutil.copytree(random_model, own)
    config = json.loads((own / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "evil.Model"}
    (own / "config.json").write_text(json.dumps(config))
    fails(3, "generate", contexts, "--policy", own, says="its own Python code")


def test_a_truncated_model(fails: Any, contexts: str, random_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(random_model, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    fails(3, "generate", contexts, "--policy", broken)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[generate]\nsampels = 3\n", "Did you mean samples?"),
        ("[generat]\nsamples = 3\n", "Did you mean generate?"),
        ("[generate]\nsamples = 'many'\n", "generate.samples"),
        ("[generate]\nsamples = 0\n", "at least 1"),
        ("[generate\n", "not readable TOML"),
    ],
)
def test_settings_files(
    fails: Any, contexts: str, random_model: Path, tmp_path: Path, toml: str, says: str
) -> None:
    path = tmp_path / "my.toml"
    path.write_text(toml)
    fails(2, "generate", contexts, "--policy", random_model, "--config", path, says=says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--samples", "0"], "at least 1"),
        (["--temperature", "-1"], "at least 0"),
        (["--prompt", "no-such-prompt"], "Presets:"),
        (["--engine", "magic"], "Choose one of"),
        (["--chat", "on"], "no chat template"),
        (["--set", "generate.sampels=3"], "Did you mean samples?"),
        (["--set", "nonsense"], "section.key=value"),
        (["--no-such-option"], "No such option"),
        (["--force", "--retry-failed"], "Choose one"),
    ],
)
def test_options(
    fails: Any, contexts: str, random_model: Path, options: list[str], says: str
) -> None:
    fails(2, "generate", contexts, "--policy", random_model, *options, says=says)


def test_environment_variables(
    fails: Any, contexts: str, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAL_GENERATE_SAMPELS", "3")
    fails(2, "generate", contexts, "--policy", random_model, says="Did you mean samples?")


@pytest.mark.parametrize(
    ("reference", "code", "says"),
    [
        ("../../etc/passwd", 2, "is not an artifact id"),
        ("import-0000000000000000", 3, "no artifact"),
        ("@latest:score", 3, "Run `seal score` first"),
        ("@newest", 2, "Use @latest"),
        ("zzz", 3, "no artifact zzz"),
    ],
)
def test_references(
    fails: Any, contexts: str, random_model: Path, reference: str, code: int, says: str
) -> None:
    fails(code, "generate", reference, "--policy", random_model, says=says)


def test_an_ambiguous_prefix(fails: Any, seal: Any, contexts: str, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"context": "Another."}\n')
    seal("import", "contexts", other)
    fails(2, "show", "import", says="fits 2 artifacts")


def test_an_empty_pipe(fails: Any) -> None:
    fails(2, "adapt", "-", stdin="", says="nothing where one id was expected")


def test_an_artifact_of_another_kind(fails: Any, contexts: str) -> None:
    fails(3, "adapt", contexts, says="holds contexts, not self_edits")


def test_an_input_that_was_not_copied(
    fails: Any, edits: str, contexts: str, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "store/artifacts" / contexts)
    fails(3, "adapt", edits, says=f"artifact {contexts} is not in")


def test_passages_without_questions(
    fails: Any, seal: Any, random_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/one.md").write_text("# One\nA note about one thing. And another.")
    contexts = seal("import", "contexts", tmp_path / "notes").id
    edits = seal("generate", contexts, "--policy", random_model, "--engine", "scripted").id
    fails(3, "score", edits, says="have no questions")
    fails(3, "eval", random_model, contexts, says="have no questions")


def test_a_damaged_table(fails: Any, edits: str, tmp_path: Path) -> None:
    part = tmp_path / "store/artifacts" / edits / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-7])
    fails(3, "adapt", edits, says="missing or damaged")


def test_a_flipped_byte(fails: Any, edits: str, tmp_path: Path) -> None:
    part = tmp_path / "store/artifacts" / edits / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[60] ^= 0xFF
    part.write_bytes(content)
    fails(3, "adapt", edits, "--rank", 2, "--epochs", 1, says="missing or damaged")


def test_a_damaged_manifest(seal: Any, edits: str, tmp_path: Path) -> None:
    manifest = tmp_path / "store/artifacts" / edits / "_manifest.json"
    manifest.write_text("{")
    assert seal("adapt", edits).code == 3
    listed = seal("ls")
    assert listed.code == 0  # the others are still listed, the broken one is named
    assert edits in listed.err


def test_another_version_of_a_table(fails: Any, edits: str, tmp_path: Path) -> None:
    folder = tmp_path / "store/artifacts" / edits
    part = folder / "part-00000.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["seed"]), part)
    manifest = read_sealed(folder / "_manifest.json")
    manifest["files"]["part-00000.parquet"] = entry(part)
    write_sealed(folder / "_manifest.json", manifest)
    fails(3, "adapt", edits, says="column seed of self_edits is missing")


def test_rules_of_ones_own(fails: Any, seal: Any, edits: str, tmp_path: Path) -> None:
    rewards = seal("score", edits, "--rank", 2, "--epochs", 1, "--repeats", 1).id
    query = tmp_path / "rule.sql"
    fails(2, "filter", rewards, "--rule", "sql", says="go together")
    query.write_text("SELECT nothing FROM rewards")
    fails(2, "filter", rewards, "--rule", "sql", "--query", query, says="does not run")
    target = tmp_path / "stolen.csv"
    query.write_text(f"COPY rewards TO '{target}'")
    fails(2, "filter", rewards, "--rule", "sql", "--query", query)
    assert not target.exists()


def test_an_empty_selection_cannot_be_learned(fails: Any, seal: Any, edits: str) -> None:
    rewards = seal("score", edits, "--rank", 2, "--epochs", 1, "--repeats", 1).id
    selection = seal("filter", rewards, "--rule", "threshold", "--threshold", 2).id
    fails(3, "update", selection, says="keeps no self-edit")


def test_a_second_process_on_the_same_key(fails: Any, edits: str, tmp_path: Path) -> None:
    from seal_cli.execution.runner import Runner, material_of

    seen: list[str] = []
    whole = Runner.run

    def spy(self: Any, spec: Any, *check: Any) -> Any:
        from seal_cli.store.identity import artifact_id

        seen.append(artifact_id(spec.STAGE, material_of(spec)))
        with self.store.lock_path(seen[-1]).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write("process 1 on elsewhere")
            lock.flush()
            return whole(self, spec, *check)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "run", spy)
        fails(75, "adapt", edits, says="is being made by process 1 on elsewhere")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(seal: Any, passages: Path, random_model: Path, small_disk: Path) -> None:
    store = small_disk / "store"
    contexts = seal("import", "contexts", passages, store=store).id
    scripted = ["--engine", "scripted", "--samples", 4]
    edits = seal("generate", contexts, "--policy", random_model, *scripted, store=store).id
    ballast = small_disk / "ballast"
    free = shutil.disk_usage(small_disk).free
    ballast.write_bytes(b"x" * max(0, free - 100_000))
    command = ["adapt", edits, "--rank", 32, "--epochs", 1, "--repeats", 1]
    full = seal(*command, store=store)
    assert full.code == 5, full.err
    assert "finished batches are kept" in full.err
    assert "Traceback" not in full.err
    assert Workspace(store).ids() == sorted([contexts, edits])
    ballast.unlink()
    assert seal(*command, store=store).code == 0


def test_a_store_that_is_a_file(seal: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    result = seal("ls", store=path)
    assert result.code == 2
    assert "is a file" in result.err


def test_weights_that_lead_outside(fails: Any, seal: Any, edits: str, tmp_path: Path) -> None:
    """A hostile adapters artifact cannot make `score` read elsewhere."""
    adapters = seal("adapt", edits, "--rank", 2, "--epochs", 1, "--repeats", 1).id
    folder = tmp_path / "store/artifacts" / adapters
    part = folder / "part-00000.parquet"
    table = pq.read_table(part)
    place = table.schema.get_field_index("weights")
    hostile = pa.array(["../../../../etc"] * table.num_rows)
    pq.write_table(table.set_column(place, table.schema.field("weights"), hostile), part)
    manifest = read_sealed(folder / "_manifest.json")
    manifest["files"]["part-00000.parquet"] = entry(part)
    write_sealed(folder / "_manifest.json", manifest)
    fails(3, "score", adapters, says="has no ../../../../etc")
