"""Adapters that are trained already: the flags they refuse, the settings they bring along."""

from dataclasses import fields, replace

from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages.config import AdaptConfig, Config
from stages.domains import SETTINGS
from stages.errors import ConfigError


def refuse_training_flags(session: Session) -> None:
    """Raise ConfigError for a flag that says how to train: it would be passed over in silence."""
    training: list[type[Config]] = [AdaptConfig, *(cls for cls, _ in SETTINGS.values())]
    given = [
        field.name
        for cls in training
        for field in fields(cls)
        if session.flags.get(cls, {}).get(field.name) is not None
    ]
    if given:
        raise ConfigError(
            f"--{given[0].replace('_', '-')} goes with self-edits; these adapters are trained.",
            "Leave it out, or score the self-edits themselves.",
        )


def as_trained(session: Session, adapters: Artifact) -> Session:
    """The session with the domain's settings of these adapters: they are asked as they learned."""
    key = adapters.manifest["key"]
    own = {cls: key[name] for name, (cls, _) in SETTINGS.items() if name in key}
    return replace(session, flags={**session.flags, **own})
