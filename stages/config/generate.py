"""Settings of `generate`."""

from dataclasses import dataclass

from stages.engines import CHAT_MODES, ENGINES
from stages.fields import Config, option


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Config):
    """How self-edits are sampled. Paper §4 (knowledge): T=1.0, top-p 0.95, 5 per context in RL."""

    SECTION = "generate"

    samples: int = option(5, "self-edits per context", minimum=1)
    prompt: str = option(
        "default",
        "prompt or recipe of the domain by name, or a file: a text with {context} or "
        "{demonstrations}, or the steps of a recipe (.toml)",
        elsewhere=True,
    )
    constrained: bool = option(
        False, "let the policy write nothing but self-edits that can be read (needs xgrammar)"
    )
    engine: str = option("transformers", "who generates", choices=tuple(ENGINES), elsewhere=True)
    temperature: float = option(1.0, "sampling temperature; 0 is greedy", minimum=0)
    top_p: float = option(0.95, "nucleus sampling mass", minimum=0.01, maximum=1)
    max_tokens: int = option(
        1024, "longest text of one request in tokens (the paper: 8192)", minimum=1
    )
    chat: str = option("auto", "use the model's chat template", choices=CHAT_MODES, elsewhere=True)
    limit: int = option(0, "use this many contexts, wrapping around; 0 is all", minimum=0)
    offset: int = option(0, "start at this context", minimum=0)
    seed: int = option(0, "run seed; every row derives its own from it")
    decode_batch: int = option(16, "sequences decoded together", minimum=1, volatile=True)
