"""Models, settings and stores that are broken or hostile: a sentence and the right code."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal_cli import console
from seal_cli.settings import SECTIONS, Settings
from seal_cli.store.files import read_sealed, sealed
from stages.config import AdaptConfig, GenerateConfig
from stages.engines import Request
from stages.engines.settings import EndpointConfig
from stages.engines.transformers import TransformersEngine
from stages.errors import SealError
from stages.loading import load
from stages.records import Context

ROOT = Path(__file__).parents[2]
JSON_FILES = ("config.json", "tokenizer_config.json", "generation_config.json", "tokenizer.json")


def cases(number: int) -> Callable[..., Any]:
    every = list(HealthCheck)
    return settings(max_examples=number, deadline=None, suppress_health_check=every, database=None)


@pytest.fixture
def copy(random_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_model, tmp_path / "model"))


@pytest.mark.parametrize(
    "said",
    [
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        {"quantization_config": {"quant_method": "mystery"}},
        {"quantization_config": 4},
        {"hidden_size": -1},
        {"hidden_size": 10**9},
        {"hidden_size": "64"},
        {"num_attention_heads": 0},
        {"num_attention_heads": "four"},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 2.5},
        {"vocab_size": None},
        {"vocab_size": 10**12},
        {"hidden_act": "mystery"},
        {"rope_parameters": {"rope_type": "mystery"}},
        {"architectures": [None]},
        {"model_type": ["llama"]},
        {"dtype": "float7"},
        {"max_position_embeddings": "many"},
        {"eos_token_id": "last"},
    ],
    ids=str,
)
def test_a_model_that_cannot_be_loaded_is_a_sentence(copy: Path, said: dict[str, Any]) -> None:
    file = copy / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | said))
    with suppress(SealError):  # some of these are passed over by transformers
        load.__wrapped__(copy, "cpu", "auto")


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{% if %}", "{{ 1 / 0 }}"])
def test_a_chat_template_that_fails_is_exit_3(
    seal: Any, passages: Path, chat_model: Path, tmp_path: Path, template: str
) -> None:
    model = Path(shutil.copytree(chat_model, tmp_path / "model"))
    (model / "chat_template.jinja").write_text(template)
    contexts = seal("import", "contexts", passages).id
    result = seal("generate", contexts, "--policy", model, "--chat", "on", "--samples", 1)
    assert result.code in (2, 3)
    assert "chat template" in result.err
    assert "--chat off" in result.err


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 200)
    | st.sampled_from([10**9, 10**18, 10**30, -1])
    | st.floats()
    | st.sampled_from(["llama", "eager", "float32", "", "auto", "mystery", "gpt2", "\ud800"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
SECONDS, MEMORY = 60, 6 << 30


def loads_or_says(source: Path, folder: Path, file: str, key: str, value: Any) -> None:
    """The property, in a child with limits: a model, or an error of ours."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    path = folder / file
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {key: value}) if key else json.dumps(value))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            found = load.__wrapped__(folder, "cpu", "auto")
            (made,) = TransformersEngine(found, batch=1).complete([Request("A.", 0, max_tokens=3)])
            assert isinstance(made.text, str)
            code = 0
        except SealError:
            code = 0
        except BaseException:  # noqa: BLE001  # it is printed, and the child ends
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, (file, key, value)


def keys_of(random_model: Path) -> list[tuple[str, str]]:
    """Every key of every JSON file of the model, and the whole of each."""
    found = [(file, "") for file in JSON_FILES]
    for file in JSON_FILES:
        found += [(file, key) for key in json.loads((random_model / file).read_text())]
    more = (
        "quantization_config",
        "_attn_implementation",
        "rope_parameters",
        "dtype",
        "num_experts",
    )
    return found + [("config.json", key) for key in more]


@cases(300)
@given(data=st.data())
def test_any_model_config_is_loaded_or_refused(
    random_model: Path, language_model: Any, tmp_path: Path, data: st.DataObject
) -> None:
    file, key = data.draw(st.sampled_from(keys_of(random_model)))
    loads_or_says(random_model, tmp_path / "model", file, key, data.draw(VALUES))


@pytest.mark.soak
@cases(10_000)
@given(data=st.data())
def test_any_model_config_is_loaded_or_refused_at_length(
    random_model: Path, language_model: Any, tmp_path: Path, data: st.DataObject
) -> None:
    file, key = data.draw(st.sampled_from(keys_of(random_model)))
    loads_or_says(random_model, tmp_path / "model", file, key, data.draw(VALUES))


WORDS = st.sampled_from(
    [*SECTIONS, "samples", "rank", "engine", "base_url", "[[", "]]", "[", "]", "=", "\n", '"', "'",
     "true", "1e999", "nan", "1979-05-27", "[generate]\nsamples =", "\\ud800", "\x00", ".", ","]
)  # fmt: skip
FILES = (
    st.lists(WORDS | st.text(max_size=4), max_size=25)
    .map("".join)
    .map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=60)
    | st.integers(1, 3000).map(lambda n: b"[generate]\nsamples = " + b"[" * n)
    | st.builds(
        lambda section, key, value: f"[{section}]\n{key} = {value}\n".encode(
            "utf-8", "surrogatepass"
        ),
        st.sampled_from(list(SECTIONS)),
        st.sampled_from(["samples", "rank", "engine", "base_url", "temperature", "rule", "epochs"]),
        st.sampled_from(["[]", "{}", "nan", "inf", "-1", "1e400", "1" * 5000, "'x'", "true", "''"]),
    )
)


def settles_or_says(file: Path, content: bytes) -> None:
    """The property: configurations, or an error of ours."""
    file.write_bytes(content)
    with suppress(SealError):
        found = Settings(file, environ={})
        for cls in (GenerateConfig, AdaptConfig, EndpointConfig):
            with suppress(SealError):
                found.resolve(cls)


@cases(300)
@given(content=FILES)
def test_any_settings_file_is_taken_or_refused(tmp_path: Path, content: bytes) -> None:
    settles_or_says(tmp_path / "seal.toml", content)


@pytest.mark.soak
@cases(10_000)
@given(content=FILES)
def test_any_settings_file_is_taken_or_refused_at_length(tmp_path: Path, content: bytes) -> None:
    settles_or_says(tmp_path / "seal.toml", content)


@pytest.mark.parametrize("folder", ["locks", "work", "artifacts", "trash"])
@pytest.mark.parametrize("kind", ["file", "dead link"])
def test_a_store_with_something_else_in_place_of_a_folder(
    seal: Any, passages: Path, tmp_path: Path, folder: str, kind: str
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    if kind == "file":
        (store / folder).write_text("")
    else:
        (store / folder).symlink_to(tmp_path / "gone")
    result = seal("import", "contexts", passages)
    assert result.code == 3, result.err
    assert f"{folder} is no folder" in result.err
    assert "Traceback" not in result.err


def test_a_store_over_two_disks_is_refused_before_the_work(
    seal: Any, passages: Path, tmp_path: Path
) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk at /dev/shm")
    place = other / f"seal-{os.getpid()}"
    place.mkdir()
    try:
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "artifacts").symlink_to(place)
        result = seal("import", "contexts", passages)
        assert result.code == 2
        assert "on different disks" in result.err
        assert not list((tmp_path / "store" / "work").iterdir())
    finally:
        shutil.rmtree(place)


def test_a_store_that_is_a_link_works(seal: Any, passages: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "real")
    assert seal("import", "contexts", passages).code == 0
    assert seal("sql", "select count(*) as n from contexts", "-f", "csv").out == "n\n3\n"


@pytest.mark.parametrize("letter", ["\\", "*", "?", "["])
def test_a_store_whose_path_is_a_pattern_is_refused(seal: Any, tmp_path: Path, letter: str) -> None:
    result = seal("ls", store=tmp_path / f"a{letter}b")
    assert result.code == 2
    assert "in its path" in result.err


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Path, list[str]]:
    """A chain of 1,200 artifacts, each made from the one before."""
    store = tmp_path / "store"
    row = Context("c" * 16, 0, "knowledge", "train", "T", "A text.")
    first = stored.publish(store, "import", "contexts", [row])
    ids = [first.id]
    folder = store / "artifacts"
    manifest = read_sealed(folder / first.id / "_manifest.json")
    for number in range(1, 1200):
        name = f"import-{number:016x}"
        shutil.copytree(folder / first.id, folder / name)
        entry = {"artifact_id": ids[-1], "kind": "contexts", "manifest_sha256": "0" * 64}
        (folder / name / "_manifest.json").write_text(
            sealed(manifest | {"artifact_id": name, "base": name, "inputs": [entry]})
        )
        ids.append(name)
    return store, ids


def test_the_log_of_a_long_chain_is_linear(seal: Any, chain: tuple[Path, list[str]]) -> None:
    _, ids = chain
    out = seal("log", ids[-1]).out
    assert all(name in out for name in ids)
    assert len(out) < 300 * len(ids)
    half = seal("log", ids[599]).out
    assert len(half) < 0.6 * len(out)


def test_the_index_of_a_long_chain_is_linear(seal: Any, chain: tuple[Path, list[str]]) -> None:
    store, ids = chain
    assert seal("sql", "select count(*) as n from contexts", "-f", "csv").out == "n\n1200\n"
    size = (store / "index.duckdb").stat().st_size
    assert size < 4 << 20, size
    n_pairs = len(ids) * (len(ids) + 1) // 2
    out = seal("sql", "select count(*) as n from lineage", "-f", "csv").out
    assert out == f"n\n{n_pairs}\n"


def test_too_many_open_files_are_a_lack_of_them(seal: Any, scored: Any) -> None:
    query = "select count(*) from rewards, self_edits, contexts, answers, verdicts, questions"
    assert seal("sql", query).code == 0  # what is imported stays open
    opened = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    filling = [os.open(os.devnull, os.O_RDONLY)]
    while filling[-1] < opened:
        filling.append(os.open(os.devnull, os.O_RDONLY))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    codes = []
    for more in range(1, 16, 2):
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened + more, before[1]))
        try:
            result = seal("sql", query)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        codes.append(result.code)
        assert result.code == 0 or "files" in result.err, result.err
    for descriptor in filling:
        os.close(descriptor)
    assert set(codes) == {0, 5}, codes


def test_without_memory_for_the_views_nobody_is_told_to_delete(
    seal: Any, scored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seal_cli.store.index.MEMORY_LIMIT", "1MiB")
    result = seal("sql", "select count(*) from rewards join self_edits using (self_edit_id)")
    assert result.code == 5, result.err
    assert "delete" not in result.err


def test_no_message_advises_to_delete_what_may_be_good() -> None:
    for path in [*(ROOT / "seal_cli").rglob("*.py"), *(ROOT / "stages").rglob("*.py")]:
        text = path.read_text()
        assert "delete its folder" not in text.lower(), path


def test_a_page_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError):
            console.save("x" * 100_000, tmp_path / "page.html")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


def test_bytes_on_stdin_are_a_sentence(tmp_path: Path) -> None:
    program = "from seal_cli.__main__ import main; main()"
    command = [sys.executable, "-c", program, "--store", str(tmp_path / "store"), "show", "-"]
    done = subprocess.run(command, input=b"\xff\x00\n", capture_output=True, cwd=ROOT)
    assert done.returncode == 2
    assert b"is not an artifact id" in done.stderr
    assert b"Traceback" not in done.stderr
