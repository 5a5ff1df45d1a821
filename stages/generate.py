"""generate: the policy writes self-edits, SE ~ LM_θ(· | C) (paper §3.1).

Samples texts and says which can be trained on; trains and scores nothing. A self-edit is one sample
of a whole recipe (`stages.recipes`): each step is asked about all contexts and samples at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stages import recipes, trace
from stages.config import GenerateConfig
from stages.domains import Domain
from stages.engines import Completion, Engine, Request, tokens_of
from stages.errors import ConfigError, InvalidSelfEdit
from stages.identity import derive_seed, digest
from stages.recipes import Recipe, Step
from stages.records import Context, Policy, SelfEdit, Status

SEMANTICS = 1


def generate(
    contexts: Sequence[Context],
    *,
    policy: Policy,
    engine: Engine,
    domain: Domain,
    recipe: Recipe,
    config: GenerateConfig,
) -> Iterator[SelfEdit]:
    """`config.samples` self-edits per context, in order of context and sample.

    A row is `invalid` when the domain cannot train on the text, or a step found too little to go on
    with; `failed` when the engine gave none.
    """
    asking = _Asking(domain, recipe, config)
    drafts = asking.drafts(contexts, policy)
    for step in asking.recipe.steps:
        asked = [(draft, about) for draft in drafts for about in asking.about(draft, step)]
        requests = [asking.request(draft, step, *about) for draft, about in asked]
        completions = engine.complete(requests)
        for (draft, (_, items)), request, completion in zip(
            asked, requests, completions, strict=True
        ):
            draft.take(step, items, request, completion)
    for draft in drafts:
        yield _self_edit(draft, policy, asking)


def requests(
    contexts: Sequence[Context],
    *,
    policy: Policy,
    domain: Domain,
    recipe: Recipe,
    config: GenerateConfig,
) -> Iterator[Request]:
    """What `generate` asks an engine first, sample by sample: for measuring engines."""
    asking = _Asking(domain, recipe, config)
    for draft in asking.drafts(contexts, policy):
        yield asking.request(draft, asking.recipe.steps[0])


@dataclass
class _Draft:
    """A self-edit in the making: what was asked and written so far, and what went wrong."""

    context: Context
    sample: int
    seed: int
    written: dict[str, list[trace.Entry]] = field(default_factory=dict)
    status: Status = "ok"
    reason: str | None = None

    def outputs(self, step: str) -> list[str]:
        """What was written in a step."""
        return [entry.output for entry in self.written.get(step, [])]

    @property
    def entries(self) -> list[trace.Entry]:
        """All of it, in order."""
        return [entry for entries in self.written.values() for entry in entries]

    def take(
        self, step: Step, items: tuple[str, ...], request: Request, completion: Completion
    ) -> None:
        """Keep what was written; an error of the engine is the whole sample's."""
        entry = trace.Entry(
            step=step.name,
            items=items,
            prompt=request.prompt if completion.prompt is None else completion.prompt,
            output=completion.text.strip(),
            n_tokens=completion.n_tokens,
            seed=request.seed,
            finish=completion.finish,
            error=completion.error,
        )
        self.written.setdefault(step.name, []).append(entry)
        if completion.error is not None and self.status != "failed":
            self.status, self.reason = "failed", completion.error


class _Asking:
    """How the steps of one recipe become requests."""

    def __init__(self, domain: Domain, recipe: Recipe, config: GenerateConfig) -> None:
        self.domain, self.recipe, self.config = domain, recipe, config
        self.grammar = domain.grammar() if config.constrained else None
        if config.constrained and self.grammar is None:
            raise ConfigError("every text of this domain can be read.", "Leave --constrained out.")
        if config.constrained and not recipe.single:
            raise ConfigError(
                f"{recipe.name} has several steps, which are free text.", "Leave --constrained out."
            )

    def drafts(self, contexts: Sequence[Context], policy: Policy) -> list[_Draft]:
        """A draft for each sample of each context, with its seed."""
        seed, name = self.config.seed, self.recipe.name
        return [
            _Draft(c, sample, derive_seed(seed, c.context_id, policy.round, name, sample))
            for c in contexts
            for sample in range(self.config.samples)
        ]

    def about(self, draft: _Draft, step: Step) -> list[tuple[int, tuple[str, ...]]]:
        """The items of each request of this step, numbered; none where a step listed too few."""
        if draft.status != "ok":
            return []
        if step.each is None:
            return [(0, ())]
        source = next(one for one in self.recipe.steps if one.name == step.each)
        found = recipes.items(source, draft.outputs(source.name))
        chosen = recipes.chosen(step, found, derive_seed(draft.seed, step.name, "choice"))
        if not chosen:
            draft.status = "invalid"
            draft.reason = f"{source.name}: {len(found)} found, {step.name} needs {step.choose}"
        return list(enumerate(chosen))

    def request(
        self, draft: _Draft, step: Step, number: int = 0, items: tuple[str, ...] = ()
    ) -> Request:
        """One request; the only one of a self-edit has the self-edit's own seed."""
        single = self.recipe.single
        values = dict(zip(step.places, items, strict=True))
        if not single:
            values |= {name: "\n\n".join(draft.outputs(name)) for name in draft.written}
        return Request(
            prompt=self.domain.prompt(draft.context, step.prompt, values),
            system=self.domain.prompt_system(),
            seed=draft.seed if single else derive_seed(draft.seed, step.name, number),
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            top_p=self.config.top_p,
            grammar=self.grammar,
        )


def _self_edit(draft: _Draft, policy: Policy, asking: _Asking) -> SelfEdit:
    recipe, context, entries = asking.recipe, draft.context, draft.entries
    text, split = _completion(draft, recipe)
    if draft.status == "ok":
        try:
            asking.domain.lessons(context, text, recipe.name, limit=2, split=split)
        except InvalidSelfEdit as invalid:
            draft.status, draft.reason = "invalid", invalid.message
    seed, sample = asking.config.seed, draft.sample
    told = (context.context_id, policy.policy, recipe.digest, seed, sample, text)
    cut = any(entry.finish == "length" for entry in entries)
    return SelfEdit(
        self_edit_id=digest(*told),
        context_id=context.context_id,
        sample=sample,
        policy=policy.policy,
        round=policy.round,
        prompt_name=recipe.name,
        prompt=entries[0].prompt,
        completion=text,
        status=draft.status,
        reason=draft.reason,
        n_tokens=tokens_of(entries),
        seed=draft.seed,
        finish="length" if cut else entries[-1].finish,
        text_split=split,
        trace=None if recipe.single else trace.to_json(entries),
    )


def _completion(draft: _Draft, recipe: Recipe) -> tuple[str, recipes.Split]:
    """The text of a self-edit, of several steps the learned texts together, and how it splits."""
    if recipe.single:
        (entry,) = draft.entries
        return entry.output, recipe.steps[0].split
    documents = [
        text
        for step in recipe.steps
        if step.learn and draft.status == "ok"
        for output in draft.outputs(step.name)
        for text in recipes.texts(output, step.split)
    ]
    return recipes.joined(documents), "blocks"
