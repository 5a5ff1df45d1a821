"""What a GPU does with adapters: one command, eight minutes, on a bare image.

    python examples/benchmarks/gpu.py [--minutes 8] [--shape qwen2.5-7b ...]

Needs torch, transformers, peft and safetensors; nothing is downloaded (random weights). Run it from
the root of a checkout. Prints what it is at, and at the end one JSON object: per shape and number
of slots tokens/s, model FLOP/s and their share of the card's peak, seconds per self-edit for
training, scoring and both, memory beside the estimate of `--slots auto`, parity with PEFT; which
branches ran (attention over rows of any length has never run before), and where the time goes.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib import metadata
from typing import Any

import torch

from stages.bench import adapters as bench
from stages.config import AdaptConfig
from stages.training.batched import BatchedTrainer
from stages.training.memory import fit, memory_of
from stages.training.pack import packs
from stages.training.products import way_of
from stages.training.varlen import has_varlen

# Dense bfloat16 FLOP/s by NVIDIA's data sheets.
PEAKS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12,
         "RTX 4090": 165e12, "A10": 125e12}  # fmt: skip
SLOTS = {"qwen2.5-7b": (64, 16), "llama-3.2-1b": (64, 32), "small": (12,), "tiny": (32,)}
PARITY = 4  # self-edits compared with PEFT
TOP = 15  # operations listed


def main() -> None:
    """Measure what fits into the time, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--shape", nargs="+", default=["llama-3.2-1b", "qwen2.5-7b"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("-n", "--number", type=int, default=96)
    parser.add_argument("--answer-tokens", type=int, default=64)
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    found = [one for shape in given.shape for one in _of_shape(shape, given, until)]
    names = ("torch", "transformers", "peft")
    facts = {"versions": {name: metadata.version(name) for name in names}, "device": given.device}
    if given.device.startswith("cuda"):
        facts |= {"device": torch.cuda.get_device_name(), "peak_flops": _peak_flops()}
        facts |= {"capability": list(torch.cuda.get_device_capability())}
    print(json.dumps(facts | {"results": found}, indent=1))


def _of_shape(shape: str, given: argparse.Namespace, until: float) -> Iterator[dict[str, Any]]:
    """Everything about one model; what fails is a result with the reason."""
    lm = bench.random_model(shape, given.device)
    work = bench.round0(lm, AdaptConfig(), given.number, given.answer_tokens)
    meter = bench._Meter(lm, work[:PARITY])
    _say(f"{shape}: {PARITY} self-edits one at a time with PEFT")
    one = meter.run("one at a time", 1, bench.ReferenceTrainer(lm), meter.ask_one_by_one)
    branches = {"varlen": has_varlen(lm.model) and packs(lm.model, varlen=True)}
    branches |= {"packs": packs(lm.model)}
    for narrow in (False, True):
        dtype = lm.model.dtype if narrow else torch.float32
        branches[f"lora in {dtype}"] = way_of(dtype, lm.device, even=True).__name__
    yield {"shape": shape, "branches": branches, "rate": meter.rate, **asdict(one)}
    for slots in SLOTS[shape]:
        for narrow in (False, True):
            if time.monotonic() > until:
                _say(f"{shape}, {slots} slots: no time left")
                return
            _say(f"{shape}: {slots} slots{', LoRAs in the model dtype' * narrow}")
            about = {"shape": shape, "slots": slots, "narrow": narrow}
            try:
                yield about | _measured(lm, work, meter, slots, narrow=narrow)
            except Exception as error:  # noqa: BLE001  # the other numbers are still wanted
                yield about | {"error": f"{type(error).__name__}: {error}"}
    yield {"shape": shape, "top": _where_time_goes(lm, work, SLOTS[shape][0])}


def _measured(lm: Any, work: Any, meter: Any, slots: int, *, narrow: bool) -> dict[str, Any]:
    """One trainer on all the work, and its parity on the part that PEFT has trained."""
    trainer = BatchedTrainer(lm, slots, narrow=narrow)
    few = meter.run("batched", slots, trainer, meter.ask_together)
    whole = bench._Meter(lm, work)
    whole.rate = meter.rate
    all_of_it = whole.run("batched", slots, trainer, whole.ask_together)
    seconds = all_of_it.train_seconds_per_self_edit * len(work)
    flops = whole._flops(whole._tokens()) / seconds
    estimate = memory_of(_shapes(lm), work[0].job.targets, work[0].job.rank, _dtype(lm))
    planned = estimate.model + estimate.logits + slots * estimate.slot
    return asdict(replace(all_of_it, parity=few.parity, same_answers=few.same_answers)) | {
        "seconds": all_of_it.seconds,
        "tokens_per_second": whole._tokens() / seconds,
        "model_flops": flops,
        "mfu": flops / _peak_flops() if lm.device.type == "cuda" else None,
        "estimated_bytes": planned + int(all_of_it.tokens_per_step) * estimate.token,
        "slots_auto": fit(torch.cuda.mem_get_info()[1], estimate).slots
        if lm.device.type == "cuda"
        else None,
    }


def _where_time_goes(lm: Any, work: Any, slots: int) -> list[dict[str, Any]]:
    """The operations that take longest, of a few jobs of one epoch."""
    from torch.profiler import ProfilerActivity, profile

    jobs = [replace(w.job, epochs=1) for w in work[:slots]]
    on_gpu = lm.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]) as seen:
        list(BatchedTrainer(lm, slots).train(jobs))
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = sorted(seen.key_averages(), key=lambda e: -getattr(e, key))[:TOP]
    return [{"op": e.key, "calls": e.count, "ms": getattr(e, key) / 1000} for e in events]


def _shapes(lm: Any) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in lm.model.state_dict().items()}


def _dtype(lm: Any) -> str:
    return str(lm.model.dtype).removeprefix("torch.")


def _peak_flops() -> float:
    """The card's, by name; what is unknown counts as an H100."""
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAKS.items() if part in name), PEAKS["H100"])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
