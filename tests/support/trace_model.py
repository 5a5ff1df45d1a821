"""A model as it is found, to compare with how it is left."""

from typing import Any

import torch


class Trace:
    """Everything that may be left behind on a model."""

    def __init__(self, model: Any) -> None:
        self.state = {name: t.clone() for name, t in model.state_dict().items()}
        self.modules = {name: (type(m), frozenset(vars(m))) for name, m in model.named_modules()}
        self.hooks = [
            len(m._forward_hooks) + len(m._forward_pre_hooks) for _, m in model.named_modules()
        ]
        self.grads = [(n, p.requires_grad, p.grad) for n, p in model.named_parameters()]
        self.training = model.training
        self.config = model.config.to_dict(), model.config._attn_implementation

    def assert_unchanged(self, model: Any) -> None:
        now = Trace(model)
        assert self.state.keys() == now.state.keys()
        assert all(torch.equal(self.state[name], now.state[name]) for name in self.state)
        assert self.modules == now.modules
        assert (self.hooks, self.grads, self.training) == (now.hooks, now.grads, now.training)
        assert self.config == now.config
