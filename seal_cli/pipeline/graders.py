"""Graders as specs hold them: what they add to a key, and where a judge is asked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seal_cli.pipeline.resolve import Resolver
from stages.config import JUDGE, JudgeConfig
from stages.domains import Domain
from stages.engines import ENGINES
from stages.grading import GRADERS
from stages.grading import judge as judging
from stages.identity import digest
from stages.tables import Chosen


def chosen(resolve: Resolver, name: str, domain: Domain) -> tuple[Chosen, tuple[Chosen, ...]]:
    """A grader by its name, and who judges beside it at no cost: the domain's own, of a judge."""
    if name == "default":
        name = domain.GRADER
    if not name.startswith(JUDGE):
        return Chosen(name), ()
    config = resolve.server(JudgeConfig)
    config = replace(config, api="chat" if config.api == "auto" else config.api)
    return Chosen(name, config), (Chosen(domain.GRADER),)


def semantics(grader: Chosen) -> int:
    """Raised by hand when a verdict would change."""
    return judging.SEMANTICS if grader.settings else GRADERS[grader.name].semantics


def key(grader: Chosen, beside: Sequence[Chosen]) -> dict[str, Any]:
    """What decides the verdicts of a judge besides its name; nothing for the other graders."""
    if grader.settings is None:
        return {}
    how = {"prompt": digest(judging.PROMPT), "engine": ENGINES["openai"].semantics}
    others = {one.name: semantics(one) for one in beside}
    return {"judge": grader.settings.key() | how | {"beside": others}}


def location(grader: Chosen) -> dict[str, dict[str, str]]:
    """Where a judge is asked, for the manifest."""
    if not isinstance(grader.settings, JudgeConfig):
        return {}
    model = grader.name.removeprefix(JUDGE).strip()
    return {grader.name: {"name": model, "server": grader.settings.base_url}}
