"""Whether vLLM applies an adapter as transformers with PEFT does: one prompt's log-probabilities.

Asked once per started engine, with the first adapter it wears, the base model beside it. Engines
that served the wrong adapter without a word have existed; rewards made by one would be worthless.
"""

from collections.abc import Sequence
from typing import Any

import torch

from stages.engines.vllm_process import Running
from stages.errors import ConfigError
from stages.models import LanguageModel
from stages.training import Lora
from stages.training.attach import attached

# Mean difference of a token's log-probability, in nats. Measured in float32: below 1e-5; in
# bfloat16 two correct engines of a random model were up to 0.08 apart at single tokens.
TOLERANCE = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
LONGEST = 256  # tokens of the prompt that are looked at


def check(
    running: Running, reference: LanguageModel, prompt: Sequence[int], lora: Lora, worn: Any
) -> bool:
    """Compare both engines on a prompt with the adapter and without; whether that could be done.

    `worn` is vLLM's request for the adapter. A prompt of one token, or an adapter that makes
    numbers that are none, says nothing.

    Raises:
        ConfigError: they differ.

    """
    seen = list(prompt[:LONGEST])
    theirs = _of_vllm(running, seen, [worn, None])
    ours = [_of_reference(reference, seen, adapter) for adapter in (lora, None)]
    if len(seen) < 2 or not all(numbers.isfinite().all() for numbers in ours):
        return False
    tolerance = TOLERANCE[running.served.dtype]
    for who, a, b in zip(("the adapter", "the base model"), theirs, ours, strict=True):
        apart = float((a - b).abs().mean())
        if not apart <= tolerance:
            raise ConfigError(
                f"vLLM does not give the log-probabilities of {who} that transformers gives: "
                f"{apart:.3g} apart on average, where {tolerance:g} is allowed.",
                "Do not use its rewards: take --engine transformers, or another version of vLLM.",
            )
    return True


def _of_vllm(running: Running, prompt: list[int], worn: list[Any]) -> list[torch.Tensor]:
    """The log-probabilities of a prompt's tokens from the second on, for each adapter."""
    from vllm import SamplingParams

    outputs = running.llm.generate(
        [{"prompt_token_ids": prompt} for _ in worn],
        SamplingParams(prompt_logprobs=0, max_tokens=1, temperature=0, detokenize=False),
        lora_request=worn,
        use_tqdm=False,
    )
    return [
        torch.tensor(
            [
                found[token].logprob
                for token, found in zip(prompt[1:], output.prompt_logprobs[1:], strict=True)
            ]
        )
        for output in outputs
    ]


def _of_reference(reference: LanguageModel, prompt: list[int], lora: Lora | None) -> torch.Tensor:
    ids = torch.tensor([prompt], device=reference.device)
    with attached(reference.model, lora) as model, torch.inference_mode():
        logits = model(input_ids=ids).logits[0, :-1].float()
    chosen: torch.Tensor = logits.log_softmax(dim=1).gather(1, ids[0, 1:, None])
    return chosen.squeeze(1).cpu()
