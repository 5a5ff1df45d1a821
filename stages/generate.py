"""generate: the policy writes self-edits, SE ~ LM_θ(· | C) (paper §3.1).

Samples texts and says which can be trained on; trains and scores nothing.
"""

from collections.abc import Callable, Iterator, Sequence

from stages.config import GenerateConfig
from stages.domains import Domain
from stages.engines import Completion, Engine, Request
from stages.errors import ConfigError, InvalidSelfEdit
from stages.identity import derive_seed, digest
from stages.records import Context, Policy, SelfEdit, Status

SEMANTICS = 1


def generate(
    contexts: Sequence[Context],
    *,
    policy: Policy,
    engine: Engine,
    domain: Domain,
    render: Callable[[str], str],
    config: GenerateConfig,
) -> Iterator[SelfEdit]:
    """`config.samples` self-edits per context, in order of context and sample.

    `render` puts a prompt into the policy's chat template (or returns it unchanged). A row is
    `invalid` when the domain cannot train on the text, `failed` when the engine gave none.
    """
    name, template = domain.template(config.prompt)
    asked = list(requests(contexts, policy=policy, domain=domain, render=render, config=config))
    completions = engine.complete([request for _, _, request in asked])
    for (context, sample, request), completion in zip(asked, completions, strict=True):
        text = completion.text.strip()
        identity = (context.context_id, policy.policy, digest(template), config.seed, sample, text)
        status, reason = _status(domain, context, name, completion)
        yield SelfEdit(
            self_edit_id=digest(*identity),
            context_id=context.context_id,
            sample=sample,
            policy=policy.policy,
            round=policy.round,
            prompt_name=name,
            prompt=request.prompt,
            completion=text,
            status=status,
            reason=reason,
            n_tokens=completion.n_tokens,
            seed=request.seed,
            finish=completion.finish,
        )


def requests(
    contexts: Sequence[Context],
    *,
    policy: Policy,
    domain: Domain,
    render: Callable[[str], str],
    config: GenerateConfig,
) -> Iterator[tuple[Context, int, Request]]:
    """What `generate` asks an engine, with context and sample: also for measuring engines."""
    name, template = domain.template(config.prompt)
    grammar = domain.grammar() if config.constrained else None
    if config.constrained and grammar is None:
        raise ConfigError("every text of this domain can be read.", "Leave --constrained out.")
    for context in contexts:
        prompt = render(domain.prompt(context, template))
        for sample in range(config.samples):
            seed = derive_seed(config.seed, context.context_id, policy.policy, name, sample)
            request = Request(
                prompt=prompt,
                seed=seed,
                max_tokens=config.max_tokens,
                temperature=config.temperature,
                top_p=config.top_p,
                grammar=grammar,
            )
            yield context, sample, request


def _status(
    domain: Domain, context: Context, name: str, completion: Completion
) -> tuple[Status, str | None]:
    if completion.error is not None:
        return "failed", completion.error
    try:
        domain.lessons(context, completion.text.strip(), name, limit=2)
    except InvalidSelfEdit as invalid:
        return "invalid", invalid.message
    return "ok", None
