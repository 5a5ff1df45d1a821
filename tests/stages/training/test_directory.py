"""A LoRA on disk: what PEFT loads, the same bytes every time, nothing pickled."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.errors import InputError
from stages.models import LanguageModel
from stages.training import Lora
from stages.training.attach import attached
from stages.training.directory import CONFIG, WEIGHTS, load, save

IDS = torch.arange(3, 13)[None]
TARGETS = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")


@pytest.fixture
def lora(
    any_model: LanguageModel, any_targets: tuple[str, ...], random_lora: Callable[..., Lora]
) -> Lora:
    return random_lora(any_model.model, any_targets)


@pytest.fixture
def saved(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora], tmp_path: Path
) -> Path:
    save(random_lora(tiny("llama").model, TARGETS), tmp_path / "lora")
    return tmp_path / "lora"


def test_peft_loads_it_and_answers_the_same(
    any_model: LanguageModel, lora: Lora, tmp_path: Path
) -> None:
    from peft import PeftModel

    save(lora, tmp_path)
    with torch.no_grad():
        with attached(any_model.model, lora) as model:
            expected = model(input_ids=IDS).logits
        theirs = PeftModel.from_pretrained(any_model.model, tmp_path)
        found = theirs(input_ids=IDS).logits
        theirs.unload()
        plain = any_model.model(input_ids=IDS).logits
    assert torch.equal(found, expected)
    assert not torch.allclose(plain, expected, atol=0.1)


def test_what_is_saved_is_loaded_bit_for_bit(lora: Lora, tmp_path: Path) -> None:
    save(lora, tmp_path / "deep" / "er")
    again = load(tmp_path / "deep" / "er")
    assert (again.rank, again.alpha, again.targets) == (lora.rank, lora.alpha, lora.targets)
    assert again.weights.keys() == lora.weights.keys()
    for name, pair in lora.weights.items():
        assert all(torch.equal(x, y) for x, y in zip(again.weights[name], pair, strict=True))


def test_it_is_two_files_and_the_same_bytes_in_another_process(saved: Path, tmp_path: Path) -> None:
    # String hashes differ between processes, and with them the order of any set.
    program = (
        "import sys; from pathlib import Path; from stages.training.directory import load, save;"
        "save(load(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    again = tmp_path / "again"
    subprocess.run(
        [sys.executable, "-c", program, str(saved), str(again)],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "1"},
        cwd=Path(__file__).parents[3],
    )
    assert {path.name for path in again.iterdir()} == {CONFIG, WEIGHTS}
    for name in (CONFIG, WEIGHTS):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


def test_others_may_read_it(saved: Path) -> None:
    assert {path.stat().st_mode & 0o077 for path in saved.iterdir()} <= {0o044, 0o064, 0o066}


def test_its_config_names_neither_machine_nor_path(saved: Path) -> None:
    config = json.loads((saved / CONFIG).read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 8)
    assert config["target_modules"] == list(TARGETS)
    assert config["peft_type"] == "LORA"
    assert config["base_model_name_or_path"] is None
    assert config["inference_mode"] is True


def remove(name: str) -> Callable[[Path], Any]:
    return lambda path: (path / name).unlink()


def write(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda path: (path / name).write_bytes(content)


def pickled(path: Path) -> None:
    (path / WEIGHTS).unlink()
    (path / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")


def truncated(path: Path) -> None:
    (path / WEIGHTS).write_bytes((path / WEIGHTS).read_bytes()[:-100])


def half_a_pair(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(path / WEIGHTS)
    tensors.popitem()
    save_file(tensors, path / WEIGHTS)


@pytest.mark.parametrize(
    "breaking",
    [
        pickled,
        truncated,
        half_a_pair,
        remove(CONFIG),
        remove(WEIGHTS),
        write(CONFIG, b"{"),
        write(CONFIG, b"\xff"),
        write(CONFIG, b"{}"),
        write(CONFIG, b'{"r": "many", "lora_alpha": 8}'),
        write(CONFIG, b"[]"),
        write(CONFIG, b'{"r": null, "lora_alpha": 8}'),
        write(WEIGHTS, b""),
        write(WEIGHTS, b"PK\x03\x04 not safetensors at all"),
    ],
    ids=[
        "pickled",
        "truncated",
        "half a pair",
        "no config",
        "no weights",
        "broken config",
        "binary config",
        "empty config",
        "rank is a word",
        "config is a list",
        "rank is null",
        "empty weights",
        "zip",
    ],
)
def test_a_broken_directory_is_an_input_error(saved: Path, breaking: Callable[[Path], Any]) -> None:
    breaking(saved)
    with pytest.raises(InputError) as refused:
        load(saved)
    assert refused.value.hint
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "setting",
    [{"use_rslora": True}, {"use_dora": True}, {"alpha_pattern": {"q_proj": 99}}, {"bias": "all"}],
    ids=lambda setting: next(iter(setting)),
)
def test_a_lora_of_a_kind_we_do_not_apply_is_refused(
    saved: Path, setting: dict[str, object]
) -> None:
    config = json.loads((saved / CONFIG).read_text())
    (saved / CONFIG).write_text(json.dumps(config | setting))
    with pytest.raises(InputError):
        load(saved)
