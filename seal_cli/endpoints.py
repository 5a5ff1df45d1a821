"""Models behind a server: what they are called, who asks them, the judge that one can be.

Reads the keys, from the environment alone, and hands them to nobody but the engine.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from seal_cli.session import Session
from seal_cli.store.ledger import Ledger
from stages.config import JUDGE, EndpointConfig, JudgeConfig, ServerConfig
from stages.domains import Domain
from stages.engines import SEMANTICS as ENGINE_SEMANTICS
from stages.engines.openai import Ledger as Answers
from stages.engines.openai import OpenAIEngine
from stages.errors import ConfigError
from stages.grading import GRADERS, Grader
from stages.grading import judge as judging
from stages.identity import digest
from stages.records import Policy

S = TypeVar("S", bound=ServerConfig)

# The first that is set counts.
_KEYS = ("SEAL_API_KEY", "OPENAI_API_KEY")
_SECRET = 6  # characters
_JUDGE_KEYS = ("SEAL_JUDGE_API_KEY", *_KEYS)


def endpoint_id(name: str) -> str:
    """What rows and keys call a model behind a server. Its address may change and is not in it."""
    return f"endpoint-{digest(name)}"


@dataclass(frozen=True)
class EndpointModel:
    """A model that a server runs: it writes, and has no weights here."""

    policy: Policy
    config: EndpointConfig

    @property
    def id(self) -> str:
        """What rows and keys call it."""
        return self.policy.policy

    def location(self) -> dict[str, dict[str, str]]:
        """Where it was asked, for the manifest: provenance, not identity."""
        return {self.id: {"name": self.policy.name, "server": self.config.base_url}}

    def material(self, *, constrained: bool) -> dict[str, Any]:
        """What decides its texts besides the request."""
        how = self.config.key()
        if not constrained:
            del how["structured"]
        return {"model": self.policy.name} | how


def endpoint(session: Session, name: str, chat: str) -> EndpointModel:
    """A model by the name its server has for it, asked as `chat` (a mode) and [endpoint] say.

    Raises:
        ConfigError: the two say different things.

    """
    config = _resolved(session, EndpointConfig)
    wanted = {"auto": config.api, "on": "chat", "off": "completions"}[chat]
    if config.api not in ("auto", wanted):
        raise ConfigError(f"--api {config.api} and --chat {chat} do not agree.", "Leave one out.")
    api = "chat" if wanted == "auto" else wanted
    policy = Policy(endpoint_id(name), name, None, 0, None, "base", None)
    return EndpointModel(policy, replace(config, api=api))


def engine_of(
    session: Session, model: EndpointModel, ledger: Answers | None = None
) -> OpenAIEngine:
    """Who asks it. `ledger`: what was answered before, where it is not the store's."""
    structured = model.config.structured
    return _engine(
        session, model.policy.name, model.config, _KEYS, ledger=ledger, structured=structured
    )


def grader_of(session: Session, name: str) -> Grader:
    """A grader by its name; `judge:MODEL` asks a server."""
    if not name.startswith(JUDGE):
        return GRADERS[name]
    model, config = _judge(session, name)
    engine = _engine(session, model, config, _JUDGE_KEYS)
    return judging.Judge(name, engine, config.verdict_tokens)


def graders_beside(name: str, domain: Domain) -> tuple[Grader, ...]:
    """Who judges at no cost beside a model: the domain's own grader."""
    return (GRADERS[domain.GRADER],) if name.startswith(JUDGE) else ()


def grader_semantics(name: str) -> int:
    """Of a grader that need not be made for it."""
    return judging.SEMANTICS if name.startswith(JUDGE) else GRADERS[name].semantics


def grader_material(session: Session, name: str, *beside: Grader) -> dict[str, Any]:
    """What decides the verdicts of a judge besides its name; nothing for the other graders."""
    if not name.startswith(JUDGE):
        return {}
    _, config = _judge(session, name)
    how = {"prompt": digest(judging.PROMPT), "engine": ENGINE_SEMANTICS["openai"]}
    return {"judge": config.key() | how | {"beside": {g.name: g.semantics for g in beside}}}


def grader_location(session: Session, name: str) -> dict[str, dict[str, str]]:
    """Where a judge was asked, for the manifest."""
    if not name.startswith(JUDGE):
        return {}
    model, config = _judge(session, name)
    return {name: {"name": model, "server": config.base_url}}


def _judge(session: Session, name: str) -> tuple[str, JudgeConfig]:
    config = _resolved(session, JudgeConfig)
    api = "chat" if config.api == "auto" else config.api
    return name.removeprefix(JUDGE).strip(), replace(config, api=api)


def _resolved(session: Session, cls: type[S]) -> S:
    config = session.resolve(cls)
    if config.base_url:
        return config
    return replace(config, base_url=os.environ.get("OPENAI_BASE_URL", ""))


def _engine(
    session: Session,
    name: str,
    config: ServerConfig,
    keys: tuple[str, ...],
    ledger: Answers | None = None,
    **options: Any,
) -> OpenAIEngine:
    if ledger is None:
        ledger = Ledger(session.workspace.requests / f"{endpoint_id(name)}.jsonl")
    key = _key(keys, os.environ)
    secrets = _headers(os.environ.get("OPENAI_CUSTOM_HEADERS", ""))
    engine = OpenAIEngine(name, config, key=key, secrets=secrets, ledger=ledger, **options)
    session.servers.append(engine)
    return engine


def _key(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    """The key for a server; local ones need none. Raises ConfigError for what cannot be one."""
    for name in names:
        key = environ.get(name, "").strip()
        if key:
            if not (key.isascii() and key.isprintable()):
                raise ConfigError(f"{name} is not a key.", "It may hold printable ASCII alone.")
            return key
    return None


def _headers(lines: str) -> list[str]:
    """The values that the openai library adds to every request: `Name: value` lines.

    Short ones are no secrets, and would be found in every text.
    """
    values = (line.partition(":")[2].strip() for line in lines.splitlines())
    return [value for value in values if len(value) >= _SECRET]
