"""Nothing but what a grammar allows: masks on the next token, by xgrammar.

The grammar is EBNF text; whose it is and what it says is the domain's business.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from stages.errors import ConfigError
from stages.models import LanguageModel


class Guide:
    """Keeps each row of a batch inside its grammar; rows without one are left alone."""

    def __init__(self, lm: LanguageModel, grammars: Sequence[str | None]) -> None:
        xgrammar = _xgrammar()
        self.vocabulary = int(lm.model.config.vocab_size)
        self.matchers = {
            row: xgrammar.GrammarMatcher(_compiled(lm, grammar))
            for row, grammar in enumerate(grammars)
            if grammar
        }

    def mask(self, logits: torch.Tensor, live: Sequence[int]) -> torch.Tensor:
        """Logits [rows, vocabulary] with what is not allowed at minus infinity."""
        xgrammar = _xgrammar()
        allowed = xgrammar.allocate_token_bitmask(len(live), self.vocabulary)
        for place, row in enumerate(live):
            if row in self.matchers:
                self.matchers[row].fill_next_token_bitmask(allowed, place)
        width = torch.arange(32, dtype=torch.int32)
        bits = (allowed[:, :, None] >> width & 1).bool().flatten(1)[:, : logits.shape[1]]
        return logits.masked_fill(~bits.to(logits.device), -torch.inf)

    def accept(self, row: int, token: int) -> None:
        """Take note of what was chosen."""
        if row in self.matchers:
            self.matchers[row].accept_token(token)


def _xgrammar() -> Any:
    try:
        import xgrammar
    except ImportError as error:
        raise ConfigError(
            "--constrained needs xgrammar, which is not installed.",
            "pip install 'seal-adapt[constrained]'",
        ) from error
    return xgrammar


@lru_cache(maxsize=1)
def _compiled(lm: LanguageModel, grammar: str) -> Any:
    """The grammar over this model's vocabulary; the last one stays, batches share it."""
    xgrammar = _xgrammar()
    tokens = xgrammar.TokenizerInfo.from_huggingface(
        lm.tokenizer,
        vocab_size=int(lm.model.config.vocab_size),
        stop_token_ids=sorted(lm.end_ids),
    )
    return xgrammar.GrammarCompiler(tokens).compile_grammar(grammar)
