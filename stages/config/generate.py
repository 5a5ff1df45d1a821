"""Settings of `generate`."""

from dataclasses import dataclass

from stages.engines import CHAT_MODES, ENGINES
from stages.fields import Config, option


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Config):
    """How self-edits are sampled. Paper §4 (knowledge): T=1.0, top-p 0.95, 5 per context in RL."""

    SECTION = "generate"

    samples: int = option(5, "Self-edits per context.", minimum=1)
    prompt: str = option(
        "default",
        "Prompt or recipe of the domain, or a file: a text with {context} or "
        "{demonstrations}, or a recipe (.toml).",
        elsewhere=True,
    )
    constrained: bool = option(
        False, "Constrain decoding so that every self-edit can be parsed (needs xgrammar)."
    )
    engine: str = option(
        "transformers", "Engine that generates.", choices=tuple(ENGINES), elsewhere=True
    )
    temperature: float = option(1.0, "Sampling temperature; 0 is greedy.", minimum=0)
    top_p: float = option(0.95, "Nucleus sampling mass.", minimum=0.01, maximum=1)
    max_tokens: int = option(
        1024, "Longest completion of a request, in tokens (the paper: 8192).", minimum=1
    )
    chat: str = option("auto", "Use the model's chat template.", choices=CHAT_MODES, elsewhere=True)
    limit: int = option(0, "Use this many contexts, wrapping around; 0 is all.", minimum=0)
    offset: int = option(0, "Start at this context.", minimum=0)
    seed: int = option(0, "Run seed; every row derives its own seed from it.")
    decode_batch: int = option(16, "Sequences decoded together.", minimum=1, volatile=True)
