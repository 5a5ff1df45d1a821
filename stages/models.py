"""What is known of a model: of its folder, without loading it, and of a loaded one.

No code from the checkpoint, no look-up on any hub (`seal_cli.pipeline.models` turns names into
folders first). `stages.loading` loads.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.checkpoint import check_files
from stages.errors import ConfigError, InputError

LOG = logging.getLogger(__name__)
SMALL_MODEL = 50_000_000  # parameters; below it a second CPU thread costs more than it brings
QUANTISED = "nf4"  # linear layers in 4 bits, the rest in bfloat16: for a base that is only adapted
DTYPES = ("auto", "float32", "bfloat16", "float16", QUANTISED)
_LARGEST_HEADER = 100_000_000  # bytes; the safetensors format's own limit
ADAPTER, TOKENIZER = "adapter_config.json", "tokenizer_config.json"
_SAID = 300  # characters of what transformers says
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model in evaluation mode, frozen, with its tokenizer. Callers leave it as found."""

    model: Any
    tokenizer: Any

    @property
    def device(self) -> Any:
        """Where the weights are."""
        return self.model.device

    @property
    def window(self) -> int:
        """Longest sequence in tokens."""
        return window_of(self.model.config)

    @property
    def end_ids(self) -> frozenset[int]:
        """Every token that ends a text: the tokenizer's and the generation config's."""
        return end_ids_of(self.model.generation_config, self.tokenizer)


def window_of(config: Any) -> int:
    """Longest sequence in tokens of a model with this config."""
    return int(getattr(config, "max_position_embeddings", 0) or 1 << 20)


def end_ids_of(generation_config: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a text: the generation config's and the tokenizer's."""
    configured = generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)


def check_directory(path: Path) -> dict[str, Any]:
    """The model's config.json, once the directory is known to be loadable without running code.

    Raises:
        InputError: no config or safetensors, pickled weights, or a model with code of its own.

    """
    check_files(path)
    config = read_json(path / "config.json")
    if not set(path.glob("*.safetensors")) - set(path.glob("adapter_*")):
        pickled = any(f for pattern in _PICKLES for f in path.glob(pattern))
        what = "only pickled weights, which can run code" if pickled else "no weights"
        raise InputError(
            f"{path} has {what}.", "Convert it to safetensors (save_pretrained) first."
        )
    for index in path.glob("*.safetensors.index.json"):
        _check_shards(index)
    return config


def _check_shards(index: Path) -> None:
    """Raise InputError for an index that names weights outside of its own folder."""
    shards = read_json(index).get("weight_map")
    names = shards.values() if isinstance(shards, dict) else [None]
    for name in names:
        if (
            not isinstance(name, str)
            or Path(name).name != name
            or not (index.parent / name).is_file()
        ):
            raise InputError(
                f"{index} names {name!r}, which is no file beside it.", "Copy the model again."
            )


def read_json(file: Path) -> dict[str, Any]:
    """One of a model's JSON files. Raises InputError."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "Give a Hugging Face model directory."
        raise InputError(f"{file.parent} is not a model: no {file.name}.", hint) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not JSON: {error}.", "Copy the model again.") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} is not a JSON object.", "Copy the model again.")
    return content


def unloadable(path: Path, error: Exception) -> InputError:
    """What to say of a folder that a library cannot load."""
    said = (" ".join(str(error).split()) or type(error).__name__)[:_SAID]
    return InputError(f"{path} cannot be loaded: {said}", "Check it, or copy the model again.")


def stored(dtype: str, place: str) -> dict[str, Any]:
    """How transformers is told about a dtype. Raises ConfigError."""
    if dtype != QUANTISED:
        return {"dtype": dtype}
    from importlib.util import find_spec

    import torch
    import transformers

    if not (find_spec("bitsandbytes") and find_spec("accelerate")):
        message = "a base in 4 bits needs bitsandbytes and accelerate, which are not installed."
        raise ConfigError(message, "pip install 'seal-adapt[nf4]', or another --dtype.")
    how = transformers.BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    return {"dtype": torch.bfloat16, "quantization_config": how, "device_map": {"": place}}


def find_device(wanted: str) -> str:
    """A device that is there, `auto` settled. Raises ConfigError."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ConfigError(
            f"there is no device {wanted!r}.", "Use auto, cpu, cuda or mps."
        ) from error
    missing = {
        "cuda": (device.index or 0) >= torch.cuda.device_count(),
        "mps": not torch.backends.mps.is_available(),
    }
    if missing.get(device.type, False):
        raise ConfigError(f"{wanted} is not on this machine.", "See `seal doctor`.")
    return wanted


def choose_threads(n_parameters: int) -> None:
    """One thread for a small model: OpenMP threads spin, 10 to 30 times slower on shared cores."""
    import torch

    if n_parameters < SMALL_MODEL and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
        LOG.info("one CPU thread for %.1f M parameters", n_parameters / 1e6)


def checkpoint_dtype(path: Path) -> str:
    """What `auto` means for this checkpoint, from its config (float32 when it does not say)."""
    config = check_directory(path)
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")


def has_chat_template(path: Path) -> bool:
    """Whether the tokenizer carries a chat template, without loading it."""
    if (path / "chat_template.jinja").is_file() or (path / "chat_template.json").is_file():
        return True
    config = path / TOKENIZER
    return config.is_file() and bool(read_json(config).get("chat_template"))


def weight_shapes(path: Path) -> dict[str, Sequence[int]]:
    """Name and shape of every stored tensor, read from the safetensors headers alone."""
    shapes: dict[str, Sequence[int]] = {}
    for file in sorted(set(path.glob("*.safetensors")) - set(path.glob("adapter_*"))):
        try:
            with file.open("rb") as stream:
                size = int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(min(size, _LARGEST_HEADER)))
            shapes |= {name: t["shape"] for name, t in header.items() if name != "__metadata__"}
        except (ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
            message = f"{file} is not a safetensors file."
            raise InputError(message, "Copy the model again.") from error
    return shapes
