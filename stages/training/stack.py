"""Many LoRAs on one frozen base model at once: each token of a forward wears the one of its slot.

Holds the LoRAs' weights (and gradients), hooks them onto the model and off again. Knows neither
rows nor optimizers nor who generates text.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from stages.training import Lora
from stages.training.attach import attached, check_fits, named, size_of
from stages.training.draw import first_a
from stages.training.products import STEP, Products, way_of


@dataclass(frozen=True)
class Site:
    """One adapted module, and where its A [rank, n_in] and B [n_out, rank] lie in a slot's row."""

    name: str
    module: Any
    n_in: int
    n_out: int
    begin: int
    rank: int

    @property
    def middle(self) -> int:
        """Where A ends and B begins."""
        return self.begin + self.rank * self.n_in

    @property
    def end(self) -> int:
        """Where B ends."""
        return self.middle + self.n_out * self.rank

    def a(self, flat: torch.Tensor) -> torch.Tensor:
        """A of every slot, [slots, rank, n_in], as a view of [slots, numbers]."""
        return flat[:, self.begin : self.middle].view(len(flat), self.rank, self.n_in)

    def b(self, flat: torch.Tensor) -> torch.Tensor:
        """B of every slot, [slots, n_out, rank], as a view of [slots, numbers]."""
        return flat[:, self.middle : self.end].view(len(flat), self.n_out, self.rank)


def stackable(model: Any, targets: Sequence[str]) -> bool:
    """Whether these modules are linear layers: what a router returns, say, is not a product."""
    return all(
        isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
        for module in named(model, list(targets)).values()
    )


def sites_of(model: Any, targets: Sequence[str], rank: int) -> list[Site]:
    """The modules that a LoRA with these targets adapts, by name."""
    sites: list[Site] = []
    for name, module in sorted(named(model, list(targets)).items()):
        n_out, n_in = size_of(module)
        sites.append(Site(name, module, n_in, n_out, sites[-1].end if sites else 0, rank))
    return sites


@dataclass(frozen=True)
class Span:
    """Which slots the tokens of a forward belong to: `n` of them from slot `first` on.

    When training, every slot in it has a token: empty groups have made backward hang on GPUs.
    `products`: of their tokens. `scale` [rows, 1]: alpha / rank of each row of these.
    """

    first: int
    n: int
    products: Products
    scale: torch.Tensor

    def of(self, stacked: torch.Tensor) -> torch.Tensor:
        """The span's slots of something that has all of them."""
        return stacked[self.first : self.first + self.n]


class Stack:
    """The weights of `slots` LoRAs, each one row of `values` [slots, numbers], and their hooks.

    Weights are kept and used in float32 (or the model's own dtype, if that is wider), as PEFT does;
    with `narrow` they are used in the model's. A LoRA of a smaller rank is padded with zeros, which
    stay zeros: their gradients are.
    """

    def __init__(
        self, model: Any, targets: Sequence[str], rank: int, slots: int, *, narrow: bool = False
    ) -> None:
        self.model = model
        self.rank = -(-rank // STEP) * STEP
        self.sites = sites_of(model, targets, self.rank)
        wide, self.device = torch.promote_types(model.dtype, torch.float32), model.device
        self.dtype = model.dtype if narrow else wide
        numbers = self.sites[-1].end
        self.values = torch.zeros(slots, numbers, dtype=wide, device=self.device)
        self.used = self.values if wide == self.dtype else self.values.to(self.dtype)
        self.gradients: torch.Tensor | None = None
        self.scaling = torch.zeros(slots, 1, dtype=self.dtype, device=self.device)
        self.span: Span
        self.spread: tuple[Any, torch.Tensor] = None, torch.empty(0)  # what was spread last
        self.fresh = True  # the next backward is the first into `gradients`: it overwrites
        even = all(site.n_in % STEP == site.n_out % STEP == 0 for site in self.sites)
        self.way = way_of(self.dtype, self.device, even=even)

    def put(self, slot: int, lora: Lora) -> None:
        """Let a slot wear this LoRA."""
        row = self.values[slot : slot + 1].zero_()
        for site in self.sites:
            if site.name not in lora.weights:  # another LoRA's: here it adds nothing
                continue
            a, b = lora.weights[site.name]
            site.a(row)[0, : lora.rank] = a.to(row)
            site.b(row)[0, :, : lora.rank] = b.to(row)
        self.scaling[slot] = lora.alpha / lora.rank
        self.refresh(slice(slot, slot + 1))

    def take(self, slot: int, rank: int, alpha: int) -> Lora:
        """A copy of the LoRA in a slot, on the same device: it may be worn again at once."""
        row = self.values[slot : slot + 1]
        weights = {
            site.name: (site.a(row)[0, :rank].clone(), site.b(row)[0, :, :rank].clone())
            for site in self.sites
        }
        transposed = any(type(site.module).__name__ == "Conv1D" for site in self.sites)
        return Lora(rank, alpha, weights, transposed)

    def drawn(self, rank: int, seed: int) -> torch.Tensor:
        """What a slot holds at first [1, numbers], on the CPU: A as `first_a` draws it, B zero."""
        pinned = self.device.type == "cuda"
        row = torch.zeros(1, self.values.shape[1], dtype=self.values.dtype, pin_memory=pinned)
        sites = {site.name: site for site in self.sites}
        for name, a in first_a({name: (rank, s.n_in) for name, s in sites.items()}, seed):
            sites[name].a(row)[0, :rank] = a
        return row

    def begin(self, slot: int, row: torch.Tensor, scale: float) -> None:
        """Let a slot begin with what was drawn; nobody waits for the transfer."""
        self.values[slot : slot + 1].copy_(row, non_blocking=True)
        self.scaling[slot].fill_(scale)
        self.refresh(slice(slot, slot + 1))

    def move(self, source: int, target: int) -> None:
        """Put one slot's LoRA into another slot."""
        for state in (self.values, self.used, self.scaling):
            state[target] = state[source]

    def shrink(self, slots: int) -> None:
        """Keep the first slots and give back the memory of the others, one tensor at a time."""
        shared, trained = self.used is self.values, self.gradients is not None
        self.gradients = None
        self.values = self.values[:slots].clone()
        self.used = self.values if shared else self.used[:slots].clone()
        self.scaling = self.scaling[:slots].clone()
        if trained:
            self.gradients = torch.zeros_like(self.values)

    def refresh(self, slots: slice) -> None:
        """Use what `values` holds by now."""
        if self.used is not self.values:
            self.used[slots].copy_(self.values[slots])

    def arrange(self, counts: Sequence[int], first: int = 0) -> None:
        """Say how many tokens the next forward has of each slot, from slot `first` on."""
        products = self.way(counts, self.device)
        scaling = self.scaling[first : first + len(counts)]
        self.span = Span(first, len(counts), products, products.each(scaling))
        self.spread = None, torch.empty(0)

    @contextmanager
    def worn(self) -> Iterator[None]:
        """The model with the LoRAs on inside the block; afterwards as before."""
        # Something that wants a gradient: in the first layer nothing else does.
        anchor = torch.zeros((), requires_grad=True)

        def hook(site: Site, _: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> Any:
            if output._is_view():  # GPT-2's linear layer returns one
                output = output.clone()
            if torch.is_grad_enabled():
                return _Adapted.apply(inputs[0], output, anchor, self, site)  # type: ignore[no-untyped-call]
            self.adapt(site, inputs[0], output)
            return output

        handles = [site.module.register_forward_hook(partial(hook, site)) for site in self.sites]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def adapt(self, site: Site, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Add scale * x A' B' to the output, slot by slot; returns scale * x A' [rows, rank]."""
        products = self.span.products
        rows = self.spread_once(x.reshape(-1, site.n_in))
        inner = products.times(rows, self.span.of(site.a(self.used)).transpose(1, 2))
        inner.mul_(self.span.scale)
        b = self.span.of(site.b(self.used)).transpose(1, 2)
        products.add(inner, b, output.view(-1, site.n_out))
        return inner

    def spread_once(self, x: torch.Tensor) -> torch.Tensor:
        """The rows of these tokens; query, key and value are made of the same ones."""
        # The tensor is kept with its rows, so its memory is not another's meanwhile.
        version = 0 if x.is_inference() else x._version
        about = x.untyped_storage()._cdata, x.storage_offset(), x.shape, version
        if self.spread[0] is None or self.spread[0][0] != about:
            self.spread = (about, x), self.span.products.spread(x, self.dtype)
        return self.spread[1]


class _Adapted(torch.autograd.Function):
    """`Stack.adapt`; the gradients of A and B go into the stack."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, output: torch.Tensor, _: torch.Tensor, stack: Stack, site: Site
    ) -> torch.Tensor:
        ctx.save_for_backward(x, stack.adapt(site, x, output))
        ctx.stack, ctx.site = stack, site
        ctx.mark_dirty(output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        stack, site, (x, inner) = ctx.stack, ctx.site, ctx.saved_tensors
        span, products = stack.span, stack.span.products
        out = products.spread(gradients[0].reshape(-1, site.n_out), stack.dtype)
        rows = stack.spread_once(x.reshape(-1, site.n_in))
        products.outer(out, inner, span.of(site.b(stack.gradients)), fresh=stack.fresh)
        middle = products.times(out, span.of(site.b(stack.used))).mul_(span.scale)
        products.outer(middle, rows, span.of(site.a(stack.gradients)), fresh=stack.fresh)
        back = None
        if ctx.needs_input_grad[0]:
            back = products.joined(products.times(middle, span.of(site.a(stack.used))))
            back = back.view(x.shape).to(x.dtype)
        return back, gradients[0], None, None, None


@dataclass(frozen=True)
class Worn:
    """A stack that rows of text wear: row i the LoRA in slot `slots[i]`; slots ascend."""

    stack: Stack
    slots: list[int]
    counts: list[int] = field(default_factory=list)  # of the last forward

    def arrange(self, rows: Sequence[int], width: int) -> None:
        """Say that the next forward has `width` tokens of each of these rows, in order."""
        counts = [0] * len(self.stack.values)
        for row in rows:
            counts[self.slots[row]] += width
        if counts != self.counts:
            self.counts[:] = counts
            self.stack.arrange(counts)


@contextmanager
def wearing(model: Any, loras: Sequence[Lora | None]) -> Iterator[Worn | None]:
    """The model with a LoRA for each row (or none for all) inside the block; then as before.

    Rows of one LoRA stand side by side. Where LoRAs cannot be stacked there is only one of them.

    Raises:
        ConfigError: a LoRA is of another model.

    """
    distinct = list({id(lora): lora for lora in loras if lora is not None}.values())
    if not distinct:
        yield None
        return
    for lora in distinct:
        check_fits(model, lora)
    targets = sorted({target for lora in distinct for target in lora.targets})
    if not stackable(model, targets):
        (only,) = distinct
        with attached(model, only):
            yield None
        return
    stack = Stack(model, targets, max(lora.rank for lora in distinct), len(distinct))
    for slot, lora in enumerate(distinct):
        stack.put(slot, lora)
    slot_of = {id(lora): slot for slot, lora in enumerate(distinct)}
    with stack.worn():
        yield Worn(stack, [slot_of[id(lora)] for lora in loras])
