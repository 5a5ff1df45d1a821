"""Each slot's tokens times a matrix of its own: the product of all slots, in the way that suits.

Tokens lie end to end, slot by slot, `counts[i]` of them in group i. A way is made for one such
arrangement; `way_of` says which one a device and a dtype get.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F

# grouped_mm wants strides of 16 bytes, 8 numbers in bfloat16.
STEP = 8


class Products(Protocol):
    """The products over one arrangement of tokens."""

    def __init__(self, counts: Sequence[int], device: Any) -> None: ...

    def times(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[tokens, i] x [groups, i, o] -> [tokens, o]."""

    def add(self, x: torch.Tensor, w: torch.Tensor, to: torch.Tensor) -> None:
        """Add the same to `to`."""

    def outer(self, y: torch.Tensor, x: torch.Tensor, into: torch.Tensor, *, fresh: bool) -> None:
        """Write (`fresh`) or add each group's y'x, [groups, o, i], to `into`."""


class ByLoop:
    """One product after the other: any device, any dtype."""

    def __init__(self, counts: Sequence[int], device: Any) -> None:
        self.counts = list(counts)

    def times(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[tokens, i] x [groups, i, o] -> [tokens, o]."""
        pieces = torch.split(x, self.counts)
        return torch.cat([piece @ matrix for piece, matrix in zip(pieces, w, strict=True)])

    def add(self, x: torch.Tensor, w: torch.Tensor, to: torch.Tensor) -> None:
        """Add the same to `to`."""
        to.add_(self.times(x, w))

    def outer(self, y: torch.Tensor, x: torch.Tensor, into: torch.Tensor, *, fresh: bool) -> None:
        """Write or add each group's y'x, [groups, o, i]."""
        pairs = zip(torch.split(y, self.counts), torch.split(x, self.counts), strict=True)
        _keep(torch.stack([left.t() @ right for left, right in pairs]), into, fresh=fresh)


class Grouped:
    """`grouped_mm`: one kernel in bfloat16 on a GPU from compute capability 9.0.

    Elsewhere it is a loop inside of torch, which on a GPU waits for the device.
    """

    def __init__(self, counts: Sequence[int], device: Any) -> None:
        self.ends = torch.tensor(list(accumulate(counts)), dtype=torch.int32).to(device)

    def times(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[tokens, i] x [groups, i, o] -> [tokens, o]."""
        return F.grouped_mm(x, w, offs=self.ends)

    def add(self, x: torch.Tensor, w: torch.Tensor, to: torch.Tensor) -> None:
        """Add the same to `to`."""
        to.add_(self.times(x, w))

    def outer(self, y: torch.Tensor, x: torch.Tensor, into: torch.Tensor, *, fresh: bool) -> None:
        """Write or add each group's y'x, [groups, o, i]."""
        _keep(F.grouped_mm(y.t(), x, offs=self.ends), into, fresh=fresh)


class Batched:
    """MKL's `cblas_sgemm_batch`: float32 on a CPU, all groups in one call, nothing copied.

    The same bits as `grouped_mm`, which on a CPU calls MKL once for each group (but for groups of
    one token, where that is a product with a vector).
    """

    def __init__(self, counts: Sequence[int], device: Any) -> None:
        self.counts, self.n = list(counts), len(counts)
        self.starts = torch.tensor([0, *accumulate(counts)][:-1])
        self.offsets: dict[int, torch.Tensor] = {}  # of the groups' rows, by the bytes of a row
        self._counts = (ctypes.c_int * self.n)(*counts)
        self.tokens = ctypes.addressof(self._counts)
        self.same, self.factor = _equal(ctypes.c_int, self.n), _equal(ctypes.c_float, self.n)

    def times(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[tokens, i] x [groups, i, o] -> [tokens, o]."""
        out = x.new_empty(len(x), w.shape[2])
        self._times(x, w, out, fresh=True)
        return out

    def add(self, x: torch.Tensor, w: torch.Tensor, to: torch.Tensor) -> None:
        """Add the same to `to`, whose rows are whole in memory."""
        self._times(x, w, to, fresh=False)

    def _times(self, x: torch.Tensor, w: torch.Tensor, out: torch.Tensor, *, fresh: bool) -> None:
        x = x if x.stride(1) == 1 else x.contiguous()
        turned = w.stride(2) != 1  # [o, i] in memory
        self._call(
            (False, turned),
            (None, w.shape[2], w.shape[1]),
            (self._rows(x), x.stride(0)),
            (_each(w), w.stride(2 if turned else 1)),
            (self._rows(out), out.stride(0)),
            fresh=fresh,
        )

    def outer(self, y: torch.Tensor, x: torch.Tensor, into: torch.Tensor, *, fresh: bool) -> None:
        """Write or add each group's y'x, [groups, o, i]."""
        y, x = (t if t.stride(1) == 1 else t.contiguous() for t in (y, x))
        self._call(
            (True, False),
            (y.shape[1], x.shape[1], None),
            (self._rows(y), y.stride(0)),
            (self._rows(x), x.stride(0)),
            (_each(into), into.stride(1)),
            fresh=fresh,
        )

    def _rows(self, x: torch.Tensor) -> torch.Tensor:
        """Where each group's rows begin, as addresses."""
        row = x.stride(0) * x.element_size()
        if row not in self.offsets:
            self.offsets[row] = self.starts * row
        return self.offsets[row] + x.data_ptr()

    def _call(
        self,
        turned: tuple[bool, bool],
        sizes: tuple[int | None, int | None, int | None],
        a: tuple[torch.Tensor, int],
        b: tuple[torch.Tensor, int],
        c: tuple[torch.Tensor, int],
        *,
        fresh: bool,
    ) -> None:
        """C = A B, or C += A B: each the addresses of the groups' matrices and their row length.

        A size that is None is each group's number of tokens.
        """
        sgemm = _sgemm_batch()
        assert sgemm is not None
        sgemm(
            _ROW_MAJOR,
            *(self.same[_TURNED if turn else _AS_IS] for turn in turned),
            *(self.tokens if size is None else self.same[size] for size in sizes),
            self.factor[1.0],
            a[0].data_ptr(),
            self.same[a[1]],
            b[0].data_ptr(),
            self.same[b[1]],
            self.factor[0.0 if fresh else 1.0],
            c[0].data_ptr(),
            self.same[c[1]],
            self.n,
            self.same[1],
        )


class _Equal(dict[Any, Any]):
    """Addresses of arrays of n equal numbers, made when first asked for."""

    def __init__(self, kind: Any, n: int) -> None:
        self.kind, self.n = kind, n
        self.kept: list[Any] = []

    def __missing__(self, number: Any) -> int:
        self.kept.append((self.kind * self.n)(*[number] * self.n))
        self[number] = ctypes.addressof(self.kept[-1])
        return self[number]  # type: ignore[no-any-return]


_ROW_MAJOR, _AS_IS, _TURNED = 101, 111, 112  # CBLAS_LAYOUT and CBLAS_TRANSPOSE


@cache
def _sgemm_batch() -> Any:
    """MKL's function inside of torch's own library; None where torch is built without it."""
    if not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        return None
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        found = library.cblas_sgemm_batch
    except (OSError, AttributeError):
        return None
    many = ctypes.c_void_p
    found.restype = None
    found.argtypes = [ctypes.c_int, *[many] * 13, ctypes.c_int, many]
    return found


def _each(matrices: torch.Tensor) -> torch.Tensor:
    """Where each matrix of a stack begins, as addresses."""
    begin, size = matrices.data_ptr(), matrices.stride(0) * matrices.element_size()
    return torch.arange(begin, begin + len(matrices) * size, size)


_equal = cache(_Equal)


def _keep(gradient: torch.Tensor, into: torch.Tensor, *, fresh: bool) -> None:
    if fresh:
        into.copy_(gradient)
    else:
        into.add_(gradient)


def way_of(dtype: torch.dtype, device: torch.device, *, even: bool) -> type[Products]:
    """The way for this dtype on this device; `even`: all sizes are multiples of `STEP`."""
    if device.type == "cpu" and dtype == torch.float32 and _sgemm_batch() is not None:
        return Batched
    return Grouped if even and dtype != torch.float64 else ByLoop
