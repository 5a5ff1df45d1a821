"""update: the policy learns to write the selected self-edits (ReST-EM's M-step, paper §3.1, Eq. 3).

Supervised finetuning on (prompt, completion) pairs, loss on the completion only; a self-edit of
several steps is a pair for each request (`stages.trace`). Returns a LoRA; `stages.training.merge`
makes a model of it. Against forgetting (paper §5), `draw` chooses self-edits and texts of before
that are learned once more.
"""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from stages.config import UpdateConfig
from stages.errors import ConfigError, InputError, ResourceError
from stages.identity import derive_seed
from stages.records import Example, Policy, SelfEdit
from stages.tokens import Row, learnable, render, row
from stages.trace import pairs
from stages.training import Trained, Trainer

LOG = logging.getLogger(__name__)
SEMANTICS = 1


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was learned before the selection (a self-edit, a text), under its own id."""

    name: str
    context_id: str
    examples: tuple[Example, ...]
    asks: bool = False  # its prompts are questions that have gone through no chat template yet

    def given(self, tokenizer: object, *, chat: bool) -> list[Example]:
        """The examples with the questions among them as the policy is given them."""
        return [
            replace(one, prompt=render(tokenizer, one.prompt, one.system, chat=chat))
            if self.asks and one.prompt
            else one
            for one in self.examples
        ]


def draw(
    earlier: Sequence[Earlier],
    *,
    selected: Collection[str],
    policy: Policy,
    config: UpdateConfig,
) -> list[Earlier]:
    """As many of `earlier` as `config.replay` says, none twice and none that is `selected` anew.

    A share is of the number selected, rounded up. Who is drawn follows from the seed, the policy
    and each one's own id, not from the order or number of the others.
    """
    share = math.ceil(round(config.replay * len(selected), 6))
    wanted = share if config.replay <= 1 else int(config.replay)
    others = {one.name: one for one in earlier if one.name not in selected}
    order = sorted(others, key=lambda name: derive_seed(config.seed, policy.round, "replay", name))
    return [others[name] for name in order[:wanted]]


def update(
    selected: Sequence[SelfEdit],
    *,
    policy: Policy,
    tokenizer: object,
    targets: tuple[str, ...],
    trainer: Trainer,
    config: UpdateConfig,
    replayed: Sequence[Earlier] = (),
    chat: bool = False,
    weights: Mapping[str, float] = MappingProxyType({}),
) -> tuple[Trained, int]:
    """One LoRA for the policy that wrote `selected`, and how many examples it learned from.

    `weights` are those of self-edits, by id, where they are not 1. `replayed` are learned along
    with them, with `chat` the questions among them in the policy's chat template. A completion that
    was cut at its token limit is learned without an end token; a pair longer than
    `config.max_length` or without a target is left out, and that is said.

    Raises InputError where there is nothing to learn from, ConfigError or ResourceError where the
    training failed.
    """
    learned = [(pair, weights.get(e.self_edit_id, 1.0)) for e in selected for pair in pairs(e)]
    for earlier in replayed:
        learned += [(one, 1.0) for one in earlier.given(tokenizer, chat=chat)]
    whole = [
        replace(row(tokenizer, one, max_length=config.max_length), weight=weight)
        for one, weight in learned
    ]
    if not selected:
        raise InputError(
            "the selection keeps no self-edit to learn from.",
            "Choose another rule in `seal filter`, or sample more self-edits.",
        )
    rows = _fitting(whole, config.max_length)
    seed = derive_seed(config.seed, policy.round, "update")
    job = config.job(rows, targets, seed, objective=config.objective)
    (trained,) = trainer.train([job])
    if trained.error is None:
        return trained, len(rows)
    if trained.error.startswith("out of memory"):
        raise ResourceError(f"{trained.error}.", "Lower --max-length, or use a larger device.")
    raise ConfigError(f"the update failed: {trained.error}.", "Lower --learning-rate.")


def _fitting(whole: Sequence[Row], max_length: int) -> list[Row]:
    """The rows that can be learned; what is left out is said. Raises where none is left."""
    short = [r for r in whole if not r.cut]
    rows = learnable(short)
    if len(short) < len(whole):
        over = len(whole) - len(short)
        LOG.warning("%d of %d examples are over max-length and left out", over, len(whole))
    if len(rows) < len(short):
        empty = len(short) - len(rows)
        LOG.warning("%d of %d examples have no target and are left out", empty, len(whole))
    if short and not rows:
        raise InputError(
            "no example has a token to learn from.", "Choose another rule in `seal filter`."
        )
    if not rows:
        raise ConfigError(
            f"every example is longer than {max_length} tokens.", "Raise --max-length."
        )
    return rows
