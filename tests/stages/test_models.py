"""Loading a model: safely, as found, or not at all with a clear sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.errors import ConfigError, InputError, SealError
from stages.loading import load
from stages.models import (
    LanguageModel,
    check_directory,
    checkpoint_dtype,
    has_chat_template,
    weight_shapes,
)
from stages.tokens import Row
from stages.training import Job
from stages.training.batched import BatchedTrainer
from stages.training.merge import merged_state
from stages.training.reference import ReferenceTrainer
from stages.training.stack import sites_of


@pytest.fixture
def copy(random_model: Path, tmp_path: Path) -> Path:
    """A model directory to break."""
    shutil.copytree(random_model, tmp_path / "model")
    return tmp_path / "model"


def refuse(path: Path) -> InputError:
    """The error of loading it; the cache is left alone."""
    with pytest.raises(InputError) as refused:
        load.__wrapped__(path, "cpu", "float32")
    assert refused.value.hint
    assert "\n" not in refused.value.message
    return refused.value


def test_a_model_is_loaded_frozen_in_evaluation_mode(language_model: LanguageModel) -> None:
    model = language_model.model
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert language_model.window == 4096
    assert str(language_model.device) == "cpu"


def test_the_last_model_stays_loaded(random_model: Path, language_model: LanguageModel) -> None:
    assert load(random_model, "cpu", "float32") is load(random_model, "cpu", "float32")


def test_every_end_token_ends_a_text(copy: Path) -> None:
    path = copy / "generation_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"eos_token_id": [5, 7]}))
    assert load.__wrapped__(copy, "cpu", "float32").end_ids == {0, 5, 7}
    path.write_text(json.dumps({k: v for k, v in config.items() if k != "eos_token_id"}))
    assert load.__wrapped__(copy, "cpu", "float32").end_ids == {0}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_auto_dtype_is_the_checkpoints(random_model: Path, tmp_path: Path, dtype: str) -> None:
    lm = load.__wrapped__(random_model, "cpu", dtype)
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    assert checkpoint_dtype(tmp_path) == dtype
    again = load.__wrapped__(tmp_path, "cpu", "auto").model
    assert {str(p.dtype) for p in again.parameters()} == {f"torch.{dtype}"}


def test_a_checkpoint_that_does_not_say_is_float32(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config = {k: v for k, v in config.items() if k not in ("dtype", "torch_dtype")}
    (copy / "config.json").write_text(json.dumps(config))
    assert checkpoint_dtype(copy) == "float32"


def test_a_folder_without_config_is_not_a_model(tmp_path: Path) -> None:
    assert "config.json" in refuse(tmp_path).message


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b""])
def test_a_broken_config_is_refused(copy: Path, content: bytes) -> None:
    (copy / "config.json").write_bytes(content)
    assert "not JSON" in refuse(copy).message


def test_a_model_with_code_of_its_own_is_refused_and_its_code_not_run(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "evil.Model"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text(f"open({str(copy / 'ran')!r}, 'w')\nclass Model: ...\n")
    assert "auto_map" in refuse(copy).message
    assert not (copy / "ran").exists()


@pytest.mark.parametrize("pickled", ["pytorch_model.bin", "model.pt", None])
def test_pickled_weights_are_refused_unread(copy: Path, pickled: str | None) -> None:
    (copy / "model.safetensors").unlink()
    if pickled:
        (copy / pickled).write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    assert ("only pickled weights" in refuse(copy).message) == bool(pickled)


def test_an_unknown_architecture_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text('{"model_type": "mystery", "architectures": ["Mystery"]}')
    assert "cannot be loaded" in refuse(copy).message


def test_a_tokenizer_without_end_token_is_refused(copy: Path) -> None:
    path = copy / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in config.items() if k != "eos_token"}))
    assert "end token" in refuse(copy).message


def test_the_shapes_are_those_of_the_weights(
    random_model: Path, language_model: LanguageModel
) -> None:
    loaded = {name: list(t.shape) for name, t in language_model.model.state_dict().items()}
    assert weight_shapes(random_model) == loaded


def break_header(size: int, header: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(size.to_bytes(8, "little") + header)


@pytest.mark.parametrize(
    "breaking",
    [
        break_header(1 << 62, b""),
        break_header(50, b"{"),
        break_header(2, b"\xff\xff"),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"PK\x03\x04 and so on, not a header at all"),
    ],
    ids=["huge", "truncated", "binary", "empty", "zip"],
)
def test_a_file_that_is_not_safetensors_is_refused(
    copy: Path, breaking: Callable[[Path], object]
) -> None:
    breaking(copy / "model.safetensors")
    with pytest.raises(InputError, match="safetensors"):
        weight_shapes(copy)


@pytest.mark.parametrize("header", [b"[]", b'{"a": 1}', b'{"a": {}}'])
def test_a_header_of_another_shape_is_refused(copy: Path, header: bytes) -> None:
    break_header(len(header), header)(copy / "model.safetensors")
    with pytest.raises(InputError):
        weight_shapes(copy)


def truncate(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def drop_a_tensor(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "breaking",
    [
        truncate,
        drop_a_tensor,
        lambda copy: (copy / "config.json").write_text("[]"),
        lambda copy: (copy / "config.json").write_text('{"model_type": 3}'),
        lambda copy: (copy / "tokenizer.json").write_text("{"),
        lambda copy: (copy / "tokenizer_config.json").write_text("{"),
        lambda copy: (copy / "tokenizer_config.json").write_text("[]"),
    ],
    ids=[
        "truncated weights",
        "missing tensor",
        "config is a list",
        "model type is a number",
        "broken tokenizer",
        "broken tokenizer config",
        "tokenizer config is a list",
    ],
)
def test_a_corrupt_model_is_refused(copy: Path, breaking: Callable[[Path], object]) -> None:
    breaking(copy)
    refuse(copy)


def test_a_file_instead_of_a_folder_is_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("hello")
    refuse(path)


@pytest.mark.parametrize("device", ["cuda:9", "banana"])
def test_a_device_that_is_not_there_is_not_the_models_fault(
    random_model: Path, device: str
) -> None:
    with pytest.raises(ConfigError):
        load.__wrapped__(random_model, device, "float32")


def test_a_chat_template_is_seen_without_loading(random_model: Path, chat_model: Path) -> None:
    assert (has_chat_template(random_model), has_chat_template(chat_model)) == (False, True)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"chat_template": "{{ messages }}"}, True),
        ({"chat_template": None}, False),
        ({}, False),
    ],
)
def test_a_chat_template_may_stand_in_the_tokenizer_config(
    tmp_path: Path, config: dict[str, object], expected: bool
) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert has_chat_template(tmp_path) is expected


def test_a_broken_tokenizer_config_is_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(SealError):
        has_chat_template(tmp_path)


def test_checking_a_directory_returns_its_config(random_model: Path) -> None:
    assert check_directory(random_model)["model_type"] == "llama"


def test_a_base_in_4_bits_is_adapted_and_not_changed(random_model: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra nf4 is not installed")
    lm = load.__wrapped__(random_model, "cpu", "nf4")
    plain = load.__wrapped__(random_model, "cpu", "float32")
    sites, same = (sites_of(one.model, ("q_proj",), 8) for one in (lm, plain))
    assert [(s.name, s.n_in, s.n_out) for s in sites] == [(s.name, s.n_in, s.n_out) for s in same]
    job = Job((Row(tuple(range(3, 20)), 0, 17),), 8, 16, ("q_proj",), 3, 1e-2, 1, 0)
    (found,), (expected,) = (t.train([job]) for t in (BatchedTrainer(lm, 1), ReferenceTrainer(lm)))
    assert found.error is None
    assert found.last_loss == pytest.approx(expected.last_loss, rel=0.02)
    assert found.lora is not None
    with pytest.raises(ConfigError, match="4 bits"):
        merged_state(lm.model, found.lora)


def test_without_bitsandbytes_it_says_what_to_install(
    random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="bitsandbytes") as raised:
        load.__wrapped__(random_model, "cpu", "nf4")
    assert "nf4" in str(raised.value.hint)
