"""Slots: those asked for, or what free memory has room for."""

import pytest

from stages.errors import ConfigError
from stages.training import room as memory
from stages.training.memory import CONTEXT, HELD, TRAINED, memory_of
from stages.training.room import JOBS_PER_SLOT, MOST_ON_CPU, MOST_ON_CPU_LARGE, Room, room

SHAPES = {
    "model.embed.weight": [1000, 64],
    "model.layers.0.q_proj.weight": [64, 64],
    "model.layers.0.big_q_proj.weight": [640, 640],
    "model.layers.0.norm.weight": [64],
    "model.layers.1.q_proj.weight": [64, 64],
}
NUMBERS = 8 * (128 + 128)  # of a LoRA of rank 8 on both q_proj


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No accelerator, and memory without end."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(memory, "_free_memory", lambda: 10**12)
    return monkeypatch


def test_what_was_asked_for_is_given(free: pytest.MonkeyPatch) -> None:
    assert room(5, SHAPES, ["q_proj"], 8) == Room(5, 5 * JOBS_PER_SLOT)


def test_one_slot_is_one_job_at_a_time(free: pytest.MonkeyPatch) -> None:
    assert room(1, SHAPES, ["q_proj"], 8) == Room(1, 1)


def test_half_of_the_free_memory_is_for_adapters_in_training(free: pytest.MonkeyPatch) -> None:
    assert room(None, SHAPES, ["q_proj"], 8).slots == MOST_ON_CPU
    free.setattr(memory, "_free_memory", lambda: 2 * TRAINED * NUMBERS * 7)
    assert room(None, SHAPES, ["q_proj"], 8).slots == 7
    free.setattr(memory, "_free_memory", lambda: 0)
    assert room(None, SHAPES, ["q_proj"], 8) == Room(1, 1)


def test_a_large_model_on_a_cpu_has_few(free: pytest.MonkeyPatch) -> None:
    large = SHAPES | {"lm_head.weight": [100_000, 1000]}
    assert room(None, large, ["q_proj"], 8, "cpu").slots == MOST_ON_CPU_LARGE


def test_jobs_are_as_many_as_their_results_fit_in_memory(free: pytest.MonkeyPatch) -> None:
    free.setattr(memory, "_free_memory", lambda: 4 * 4 * NUMBERS * 23)
    assert room(8, SHAPES, ["q_proj"], 8) == Room(8, 23)
    assert room(30, SHAPES, ["q_proj"], 8) == Room(30, 30)


def test_a_gpu_keeps_room_for_the_model(free: pytest.MonkeyPatch) -> None:
    small = memory_of(SHAPES, ["q_proj"], 8)
    wide = memory_of(SHAPES, ["q_proj"], 8, "float32")
    assert wide.model == 2 * small.model == 4 * (1000 * 64 + 2 * 64 * 64 + 640 * 640 + 64)
    base = CONTEXT + small.model + small.logits + 4096 * small.token
    free.setattr("torch.cuda.is_available", lambda: True)
    free.setattr("torch.cuda.mem_get_info", lambda _: (base + 9 * small.slot, 0))
    assert room(None, SHAPES, ["q_proj"], 8).slots == 9
    assert room(None, SHAPES, ["q_proj"], 8, dtype="float32").slots != 9
    # Results wait on the device: as many as are left beside the slots and a small forward.
    assert room(9, SHAPES, ["q_proj"], 8).jobs <= 9 * JOBS_PER_SLOT
    held = base - 3072 * small.token + 9 * small.slot + 20 * HELD * NUMBERS
    free.setattr("torch.cuda.mem_get_info", lambda _: (held, 0))
    assert room(9, SHAPES, ["q_proj"], 8).jobs == 20
    assert room(None, SHAPES, ["q_proj"], 8, "cpu").slots == MOST_ON_CPU


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps", "abacus"])
def test_a_device_that_is_not_there_is_refused(free: pytest.MonkeyPatch, device: str) -> None:
    free.setattr("torch.cuda.device_count", lambda: 0)
    free.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(ConfigError):
        room(None, SHAPES, ["q_proj"], 8, device)


def test_a_large_model_trains_fewer_tokens_a_second(free: pytest.MonkeyPatch) -> None:
    small, large = (
        room(2, {"x.q_proj.weight": [size, size]}, ["q_proj"], 8).rate for size in (100, 1000)
    )
    assert small == pytest.approx(100 * large)
    assert small == pytest.approx(memory.RATE_OF_CPU / 6e4)
