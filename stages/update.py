"""update: the policy learns to write the selected self-edits (ReST-EM's M-step, paper §3.1, Eq. 3).

Supervised finetuning on (prompt, completion) pairs, loss on the completion only. Returns a LoRA;
`stages.lora.merge` makes a model of it.
"""

import logging
from collections.abc import Sequence

from stages.config import UpdateConfig
from stages.errors import ConfigError, InputError, ResourceError
from stages.identity import derive_seed
from stages.lora import Job, Trained, Trainer
from stages.records import Example, Policy, SelfEdit
from stages.tokens import learnable, row

LOG = logging.getLogger(__name__)
SEMANTICS = 1


def update(
    selected: Sequence[SelfEdit],
    *,
    policy: Policy,
    tokenizer: object,
    targets: tuple[str, ...],
    trainer: Trainer,
    config: UpdateConfig,
) -> tuple[Trained, int]:
    """One LoRA for the policy that wrote `selected`, and how many of them it learned from.

    A completion that was cut at its token limit is learned without an end token; a pair longer than
    `config.max_length` is left out, and that is said.

    Raises:
        InputError: there is nothing to learn from.
        ConfigError, ResourceError: the training failed.

    """
    examples = [Example(e.prompt, e.completion, ends=e.finish != "length") for e in selected]
    whole = [row(tokenizer, example, max_length=config.max_length) for example in examples]
    rows = learnable([r for r in whole if not r.cut])
    if not selected:
        raise InputError(
            "the selection keeps no self-edit to learn from.",
            "Choose another rule in `seal filter`, or sample more self-edits.",
        )
    if len(rows) < len(whole):
        LOG.warning(
            "%d of %d self-edits are over max-length and left out",
            len(whole) - len(rows),
            len(whole),
        )
    if not rows:
        raise ConfigError(
            f"every self-edit is longer than {config.max_length} tokens.", "Raise --max-length."
        )
    job = Job(
        rows=tuple(rows),
        rank=config.rank,
        alpha=config.alpha,
        targets=targets,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        seed=derive_seed(config.seed, policy.policy, "update"),
    )
    (trained,) = trainer.train([job])
    if trained.error is None:
        return trained, len(rows)
    if trained.error.startswith("out of memory"):
        raise ResourceError(f"{trained.error}.", "Lower --max-length, or use a larger device.")
    raise ConfigError(f"the update failed: {trained.error}.", "Lower --learning-rate.")
