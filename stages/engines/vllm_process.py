"""The one vLLM of this process: started once for a model, kept, put to rest, and its adapters.

Runs inside this process (no workers), so that a training run and its engine can share a GPU in
turns. What is marked "GPU" was written from vLLM's sources and not run: no GPU was at hand.
"""

import atexit
import gc
import hashlib
import itertools
import logging
import os
import shutil
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from stages.engines.settings import VllmConfig
from stages.errors import ConfigError, ResourceError, RowFailure
from stages.models import check_directory, choose_threads, weight_shapes, window_of
from stages.training import Lora
from stages.training.directory import save

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM's kernels are made for
CPU_KV_CACHE = 512  # MiB; left to itself vLLM takes nearly all memory
_CPU_BATCH = 4096  # tokens of one step, vLLM's own figure
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # stdout is for ids
}
_UNLESS_SET = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "CRITICAL",  # its errors become rows and messages; it adds pages of state
}
_numbers = itertools.count(1)  # one counter for all adapters: vLLM confuses equal numbers
_running: "Running | None" = None


@dataclass(frozen=True)
class Served:
    """What vLLM is to run: a model folder, what its content is known by, and the dtype."""

    path: Path
    content: str
    dtype: str


def running(served: Served, config: VllmConfig, rank: int) -> "Running":
    """The engine of this process, awake: the one there is if it will do, else a new one.

    `rank`: the largest of the adapters it is to wear, 0 for none.

    Raises:
        ConfigError: vLLM cannot run the model.
        ResourceError: the model does not fit.

    """
    global _running
    if _running is not None and _running.serves(served, config, rank):
        _running.wake()
        return _running
    stop()
    _running = Running(served, config, rank)
    return _running


def rest() -> None:
    """Give a GPU's memory to somebody else until the engine is asked again; on a CPU nothing."""
    if _running is not None:
        _running.sleep()


def stop() -> None:
    """End the engine, if there is one."""
    global _running
    if _running is not None:
        _running.close()
        _running = None


def content_of(lora: Lora) -> str:
    """An adapter's name: the hash of everything that decides what it does."""
    found = hashlib.sha256(f"{lora.rank} {lora.alpha} {lora.transposed}".encode())
    for name, pair in sorted(lora.weights.items()):
        for tensor in pair:
            found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            found.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:32]


class Running:
    """A started vLLM. `trusted`: the canary has seen it apply an adapter."""

    def __init__(self, served: Served, config: VllmConfig, rank: int) -> None:
        self.served, self.config = served, config
        self.rank = next((r for r in RANKS if r >= rank), RANKS[-1]) if rank else 0
        self.llm = _start(served, config, self.rank)
        self.adapters: OrderedDict[str, Any] = OrderedDict()
        self.folder = TemporaryDirectory(prefix="seal-adapters-")
        atexit.register(self.folder.cleanup)
        self.trusted = False
        self.asleep = False

    def serves(self, served: Served, config: VllmConfig, rank: int) -> bool:
        """Whether this engine will do, adapters of this rank included."""
        # Not `==`, by which settings are equal that differ in memory alone.
        same = self.served == served and asdict(self.config) == asdict(config)
        return same and self.rank >= rank

    def wear(self, loras: Sequence[Lora]) -> list[Any]:
        """What vLLM calls each adapter, or the RowFailure that says why there is none.

        At most `config.adapters` different ones; those of calls before leave as room is needed.
        """
        names = [content_of(lora) for lora in loras]
        distinct = dict(zip(names, loras, strict=True))
        for name in [name for name in self.adapters if name not in distinct]:
            if len(self.adapters.keys() | distinct.keys()) <= self.config.adapters:
                break
            self._forget(name)
        put_on = {name: self._put_on(name, lora) for name, lora in distinct.items()}
        return [put_on[name] for name in names]

    def _put_on(self, name: str, lora: Lora) -> Any:
        """Load an adapter now: refused inside `generate` it would leave its request behind."""
        from vllm.exceptions import VLLMError
        from vllm.lora.request import LoRARequest

        if name in self.adapters:
            self.adapters.move_to_end(name)
            return self.adapters[name]
        # A new name each time, for vLLM's caches know adapters by their names.
        number = next(_numbers)
        folder = Path(self.folder.name) / f"{name}-{number}"
        save(lora, folder)
        request = LoRARequest(folder.name, number, str(folder))
        try:
            self.llm.llm_engine.add_lora(request)
        except (ValueError, RuntimeError, VLLMError) as error:
            shutil.rmtree(folder)
            return RowFailure(f"vLLM does not take the adapter: {first_line(error)}")
        self.adapters[name] = request
        return request

    def _forget(self, name: str) -> None:
        request = self.adapters.pop(name)
        self.llm.llm_engine.remove_lora(request.lora_int_id)
        shutil.rmtree(request.lora_path)

    def abandon(self) -> None:
        """Take out what an exception left in the scheduler: the next call would wait for it."""
        engine = self.llm.llm_engine
        left = list(engine.output_processor.request_states)
        engine.abort_request(left, internal=True)

    def sleep(self) -> None:
        """GPU: weights to main memory, keys and values away."""
        if not self.asleep and _on_gpu():
            self.llm.sleep(level=1)
            self.asleep = True

    def wake(self) -> None:
        """GPU: weights back."""
        if self.asleep:
            torch.cuda.empty_cache()  # what a trainer is done with
            self.llm.wake_up()
            self.asleep = False

    def close(self) -> None:
        """Give everything back."""
        self.wake()  # GPU: memory of a sleeping engine is not released otherwise
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        gc.collect()
        if _on_gpu():
            torch.cuda.empty_cache()
        self.folder.cleanup()


def first_line(error: BaseException) -> str:
    """What a row or a message can say of an exception."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _on_gpu() -> bool:
    from vllm.platforms import current_platform

    return not current_platform.is_cpu()


def _start(served: Served, config: VllmConfig, rank: int) -> Any:
    """An `LLM` of vLLM. Raises ConfigError or ResourceError."""
    check_directory(served.path)
    vllm = _imported()
    threads = torch.set_num_threads
    try:
        # vLLM seeds the process's own generator.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            llm = vllm.LLM(str(served.path), **_arguments(served, config, rank))
            # Some of what it cannot run (heads of 16 on a CPU) shows only when it runs.
            once = vllm.SamplingParams(max_tokens=1, detokenize=False)
            llm.generate([{"prompt_token_ids": [0]}], once, use_tqdm=False)
            return llm
    except (ValueError, RuntimeError, OSError, vllm.exceptions.VLLMError) as error:
        said = first_line(error)
        if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error).lower():
            raise ResourceError(f"{served.path.name} does not fit vLLM: {said}", _room()) from error
        hint = "Use --engine transformers, or another model."
        raise ConfigError(f"vLLM cannot run {served.path.name}: {said}", hint) from error
    finally:
        torch.set_num_threads = threads  # vLLM's CPU worker puts one in its place that does nothing


def _imported() -> Any:
    """The module `vllm`. Raises ConfigError when it is broken."""
    os.environ |= _UNLESS_SET | dict(os.environ) | _ENVIRONMENT  # it reads them when imported
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # "not available"
    try:
        with warnings.catch_warnings():  # its parts warn of each other
            warnings.simplefilter("ignore")
            import vllm.exceptions
    except (ImportError, RuntimeError) as error:
        hint = "On a CPU uninstall torchvision, torchaudio and torchcodec: PyPI's are for GPUs."
        raise ConfigError(f"vLLM cannot be imported: {first_line(error)}", hint) from error
    return vllm


def _arguments(served: Served, config: VllmConfig, rank: int) -> dict[str, Any]:
    from transformers import AutoConfig

    arguments: dict[str, Any] = {
        "dtype": served.dtype,
        "load_format": "safetensors",
        "trust_remote_code": False,
        "generation_config": "vllm",  # nothing of the checkpoint's that a request did not ask for
        "max_model_len": config.max_model_len or None,
        "enable_prefix_caching": True,
        # Blanks between tokens of JSON could go on for ever.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "use_tqdm_on_load": False,
    }
    found = AutoConfig.from_pretrained(served.path, local_files_only=True, trust_remote_code=False)
    window = config.max_model_len or window_of(found)
    kv_cache = config.kv_cache_mib
    if _on_gpu():
        arguments |= {"gpu_memory_utilization": config.memory, "enable_sleep_mode": True}
    else:
        from stages.engines.vllm_cpu import repair

        repair()
        kv_cache = kv_cache or CPU_KV_CACHE
        arguments |= {
            "enforce_eager": True,  # compiling takes longer than most runs
            # A prompt read in two steps would have its seed taken back by one draw, which
            # generators on a CPU cannot ("does not use offset", vLLM 0.32): whole prompts only.
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(_CPU_BATCH, window),
        }
        choose_threads(sum(torch.Size(s).numel() for s in weight_shapes(served.path).values()))
    if kv_cache:
        arguments["kv_cache_memory_bytes"] = kv_cache << 20
    if rank:
        arguments |= {
            "enable_lora": True,
            "max_lora_rank": rank,
            "max_loras": config.adapters,
            "max_cpu_loras": config.adapters,
        }
    return arguments


def _room() -> str:
    """What to change when there is not enough memory."""
    if _on_gpu():
        return "Lower --set vllm.max_model_len or vllm.adapters, or raise vllm.memory."
    return "Lower --set vllm.max_model_len or vllm.adapters, or change vllm.kv_cache_mib."
