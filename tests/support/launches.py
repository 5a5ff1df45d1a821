"""What is asked of a GPU, counted on the meta device."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal")


class Launches(TorchDispatchMode):
    """Counts operations on the device, and refuses those that wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        before = {t.device.type for t in tensors([args, kwargs])}
        after = {t.device.type for t in tensors(out)}
        name = func._schema.name.split("::")[1]
        assert not ("meta" in before and (name in WAITS or "cpu" in after)), f"{name} waits"
        if "meta" in before | after and not func.is_view and name not in ("detach", "_unsafe_view"):
            self.seen[name] += 1
        return out


def tensors(what: Any) -> Iterator[torch.Tensor]:
    if isinstance(what, torch.Tensor):
        yield what
    elif isinstance(what, dict):
        yield from tensors(list(what.values()))
    elif isinstance(what, (list, tuple)):
        for one in what:
            yield from tensors(one)
