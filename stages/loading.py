"""Loading a model, with the adapters that belong to it, and using it once.

Only safetensors weights and local files; no code from a checkpoint.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stages.checkpoint import check_counts, check_files
from stages.errors import InputError, ResourceError
from stages.models import (
    ADAPTER,
    QUANTISED,
    LanguageModel,
    check_directory,
    choose_threads,
    find_device,
    stored,
    unloadable,
    weight_shapes,
)


@lru_cache(maxsize=1)
def load(
    path: Path,
    device: str = "auto",
    dtype: str = "auto",
    content: str = "",
    adapters: tuple[Path, ...] = (),
    tokens: Path | None = None,
) -> LanguageModel:
    """The model in `path`; the last one stays loaded, so that chained stages load it once.

    Args:
        path: a model directory.
        device: `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:1`, `mps`, ...
        dtype: `auto` is the checkpoint's own, else float32, bfloat16, float16, or nf4 (4 bits,
            by bitsandbytes).
        content: what the caller knows the folders' content by; another one is loaded anew.
        adapters: PEFT folders, folded into it one after the other. One that lies in `path` itself
            counts only when it is named here.
        tokens: the tokenizer's folder, if not `path`.

    Raises:
        ConfigError: there is no such device, or 4 bits need what is not installed.
        InputError: it cannot be loaded, or tensors are missing in it.
        ResourceError: it does not fit.

    """
    check_counts(path, check_directory(path), len(weight_shapes(path)))
    for folder in {*adapters, tokens or path} - {path}:
        check_files(folder)
    place = find_device(device)
    loaded, info = _opened(path, tokens or path, place, dtype)
    lacking = [*info["missing_keys"], *info["mismatched_keys"]]
    if lacking:
        message = f"{path} lacks {len(lacking)} tensors, {lacking[0]} among them."
        raise InputError(message, "Copy the model again: they would be random.")
    if loaded.tokenizer.eos_token_id is None:
        raise InputError(
            f"the tokenizer of {path} has no end token.",
            "Set eos_token in its tokenizer_config.json.",
        )
    loaded.model.eval().requires_grad_(False)
    _fold(loaded.model, adapters)
    if place == "cpu":
        choose_threads(loaded.model.num_parameters())
    return loaded


def _opened(
    path: Path, tokens: Path, place: str, dtype: str
) -> tuple[LanguageModel, dict[str, Any]]:
    """What transformers makes of these folders, used once, and what it says about the weights."""
    os.environ.setdefault("USE_HUB_KERNELS", "NO")  # some architectures fetch code by themselves
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    kept = stored(dtype, place)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            tokens, local_files_only=True, trust_remote_code=False
        )
        with _bare(path) as folder:
            found: Any = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                **kept,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        model, info = found
        if dtype != QUANTISED:  # which is put on its device while it is read
            model.to(place)
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):  # a layout that no gradient passes
                module.support_avx512bf16_for_cpu = False
        loaded = LanguageModel(model, tokenizer)
        _try(loaded)
    except (torch.OutOfMemoryError, MemoryError) as error:
        message = f"{path} does not fit on {place}."
        raise ResourceError(message, "Use a smaller model, or --device cpu.") from error
    except Exception as error:  # whatever the parts of transformers raise for a broken folder
        raise unloadable(path, error) from error
    return loaded, info


@contextmanager
def _bare(path: Path) -> Iterator[Path]:
    """The folder without an adapter that lies in it, which transformers would apply unasked."""
    if not (path / ADAPTER).exists():
        yield path
        return
    with TemporaryDirectory(prefix="seal-base-") as folder:
        for file in path.iterdir():
            if not file.name.startswith("adapter_"):
                (Path(folder) / file.name).symlink_to(file.resolve())
        yield Path(folder)


def _fold(model: Any, adapters: tuple[Path, ...]) -> None:
    from stages.training import directory, merge

    for adapter in adapters:
        lora = directory.load(adapter)
        merge.fold(model, lora)
        merge.compare(adapter, model, lora)


def _try(loaded: LanguageModel) -> None:
    """Use every part once: what is wrong with a folder shows in use. Raises whatever goes wrong."""
    import torch

    ids = loaded.tokenizer("a text")["input_ids"] or [0]
    if loaded.window < 1 or not all(type(i) is int for i in loaded.end_ids):
        raise ValueError(f"window {loaded.window}, end tokens {sorted(map(str, loaded.end_ids))}")
    if max(ids) >= loaded.model.get_input_embeddings().num_embeddings:
        raise ValueError("its tokenizer has more tokens than it has embeddings")
    with torch.inference_mode():
        loaded.model(torch.tensor([ids[: loaded.window]], device=loaded.device))
