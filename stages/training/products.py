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
FEW = 4096  # rows that a product has anyway before it keeps a GPU busy (judgement)
BLOCK = 64  # tokens; a row of the released self-edits has 48 on average


class Products(Protocol):
    """The products over one arrangement of tokens.

    A way may keep tokens with padding between them: `spread` brings them there, `joined` back.
    """

    def __init__(self, counts: Sequence[int], device: Any) -> None: ...

    def spread(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """[tokens, i] -> [rows, i] in this dtype; what is padding is zero."""

    def joined(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, i] -> [tokens, i]."""

    def each(self, x: torch.Tensor) -> torch.Tensor:
        """[groups, 1] -> [rows, 1]."""

    def times(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[rows, i] x [groups, i, o] -> [rows, o]."""

    def add(self, x: torch.Tensor, w: torch.Tensor, to: torch.Tensor) -> None:
        """Add the same to `to` [tokens, o], whose rows are whole in memory."""

    def outer(self, y: torch.Tensor, x: torch.Tensor, into: torch.Tensor, *, fresh: bool) -> None:
        """Write (`fresh`) or add each group's y'x, [groups, o, i], to `into`."""


class _EndToEnd:
    """A way whose rows are the tokens."""

    def __init__(self, counts: Sequence[int], device: Any) -> None:
        self.counts = list(counts)
        self.owner = torch.repeat_interleave(torch.tensor(self.counts)).to(device)

    def spread(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The tokens."""
        return x.to(dtype)

    def joined(self, x: torch.Tensor) -> torch.Tensor:
        """The tokens."""
        return x

    def each(self, x: torch.Tensor) -> torch.Tensor:
        """[groups, 1] -> [tokens, 1]."""
        return x.index_select(0, self.owner)


class ByLoop(_EndToEnd):
    """One product after the other: any device, any dtype."""

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


class Grouped(_EndToEnd):
    """`grouped_mm`: one kernel in bfloat16 on a GPU from compute capability 9.0.

    Elsewhere it is a loop inside of torch, which on a GPU waits for the device.
    """

    def __init__(self, counts: Sequence[int], device: Any) -> None:
        super().__init__(counts, device)
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


class Batched(_EndToEnd):
    """MKL's `cblas_sgemm_batch`: float32 on a CPU, all groups in one call, nothing copied.

    The same bits as `grouped_mm`, which on a CPU calls MKL once for each group (but for groups of
    one token, where that is a product with a vector).
    """

    def __init__(self, counts: Sequence[int], device: Any) -> None:
        super().__init__(counts, device)
        self.n = len(counts)
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
        if to.dtype == x.dtype:
            self._times(x, w, to, fresh=False)
        else:
            to.add_(self.times(x, w))

    def _times(self, x: torch.Tensor, w: torch.Tensor, out: torch.Tensor, *, fresh: bool) -> None:
        x = _dense(x)
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
        y, x = _dense(y), _dense(x)
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


class Blocks:
    """`bmm` over blocks of tokens of one group, of at most `BLOCK` where there are many groups.

    For what has no kernel of its own for groups: a group's length never reaches the host, nothing
    waits, and one long group does not make all the others as long. Blocks are filled with zeros.
    """

    def __init__(self, counts: Sequence[int], device: Any) -> None:
        # Few groups are all as long as the longest: more rows, fewer launches.
        few = len(counts) * max(counts) <= FEW
        self.width = max(counts) if few else BLOCK
        blocks = [-(-n // self.width) for n in counts]
        owner = [group for group, n in enumerate(blocks) for _ in range(n)]
        begins = zip(accumulate(blocks, initial=0), counts, strict=False)
        places = [self.width * begin + i for begin, n in begins for i in range(n)]
        self.n_blocks = len(owner)
        # One block for each group is usual: then its matrix is where it is.
        self.alone = owner == list(range(len(counts)))
        self.owner, self.places = sent([torch.tensor(owner), torch.tensor(places)], device)

    def spread(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """[tokens, i] -> [blocks * width, i]; no number of one group is a factor of another's."""
        rows = x.new_zeros(self.n_blocks * self.width, x.shape[1], dtype=dtype)
        return rows.index_copy_(0, self.places, x.to(dtype))

    def joined(self, x: torch.Tensor) -> torch.Tensor:
        """[blocks * width, i] -> [tokens, i]."""
        return x.index_select(0, self.places)

    def each(self, x: torch.Tensor) -> torch.Tensor:
        """[groups, 1] -> [blocks * width, 1]."""
        return x.index_select(0, self.owner).expand(-1, self.width).reshape(-1, 1)

    def times(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[rows, i] x [groups, i, o] -> [rows, o]."""
        w = w if self.alone else w.index_select(0, self.owner)
        return torch.bmm(self._blocks(x), w).flatten(0, 1)

    def add(self, x: torch.Tensor, w: torch.Tensor, to: torch.Tensor) -> None:
        """Add the same to `to`, in the wider of both dtypes before it is rounded to its own."""
        to.add_(self.joined(self.times(x, w)))

    def outer(self, y: torch.Tensor, x: torch.Tensor, into: torch.Tensor, *, fresh: bool) -> None:
        """Write or add each group's y'x, [groups, o, i]."""
        left, right = self._blocks(y).transpose(1, 2), self._blocks(x)
        if self.alone and into.dtype == x.dtype:
            into.baddbmm_(left, right, beta=0 if fresh else 1)
            return
        if fresh:
            into.zero_()
        into.index_add_(0, self.owner, torch.bmm(left, right).to(into.dtype))

    def _blocks(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(self.n_blocks, self.width, -1)


def sent(tensors: Sequence[torch.Tensor], device: Any) -> list[torch.Tensor]:
    """The same tensors of int64 on the device, in one transfer that nobody waits for."""
    device = torch.device(device)
    if device.type == "cpu":
        return list(tensors)
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    if device.type == "cuda":
        flat = flat.pin_memory()
    pieces = torch.split(flat.to(device, non_blocking=True), [t.numel() for t in tensors])
    return [piece.view(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)]


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


def _dense(x: torch.Tensor) -> torch.Tensor:
    """The rows in one piece, with strides that MKL takes; `contiguous` passes a single row by."""
    if x.stride(1) == 1 and x.stride(0) >= x.shape[1]:
        return x
    return x.clone(memory_format=torch.contiguous_format)


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
    if device.type == "cpu":
        if dtype == torch.float32 and _sgemm_batch() is not None:
            return Batched
        return Grouped if even and dtype != torch.float64 else ByLoop
    if device.type == "cuda" and dtype == torch.bfloat16 and even:
        return Grouped if torch.cuda.get_device_capability(device) >= (9, 0) else Blocks
    return Blocks
