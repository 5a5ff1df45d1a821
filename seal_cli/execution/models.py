"""A model as a spec holds it: what it is called, how it is used, and where it may be found."""

from dataclasses import dataclass, field

from stages.errors import ConfigError
from stages.models import QUANTISED
from stages.records import Policy


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """A resolved model: of this machine, of an `update` artifact, or of a server.

    `dtype` is settled ("" for a server's), `chat` says whether prompts go through a chat template,
    `targets` are the modules that a LoRA adapts (none where none is trained). Name and place are no
    part of what it is.
    """

    id: str
    dtype: str
    chat: bool
    targets: tuple[str, ...] = ()
    name: str = field(compare=False)
    round: int = field(default=0, compare=False)
    path: str | None = field(default=None, compare=False)  # null for an artifact's or a server's
    server: str | None = field(default=None, compare=False)
    base: "ModelRef | None" = field(default=None, compare=False)  # its weights are an adapter's

    def refuse_packed(self) -> None:
        """Raise ConfigError for 4 bits a weight, where weights themselves are to change."""
        if self.dtype == QUANTISED:
            raise ConfigError(
                "weights in 4 bits can be neither merged into nor finetuned whole.",
                "Leave out --dtype nf4.",
            )

    @property
    def policy(self) -> Policy:
        """Its row in `policies`, as far as rows made with it need one."""
        return Policy(self.id, self.name, None, self.round, None, "base", None)

    @property
    def location(self) -> dict[str, dict[str, str]]:
        """Where it was found, for the manifest: provenance, not identity."""
        place = {"path": self.path, "server": self.server}
        own = {self.id: {"name": self.name} | {k: v for k, v in place.items() if v is not None}}
        return (self.base.location if self.base else {}) | own

    @property
    def inputs(self) -> tuple[str, ...]:
        """The artifact that has to travel along, if it is one."""
        return (self.artifact,) if self.artifact else ()

    @property
    def artifact(self) -> str | None:
        """The `update` artifact that it is; null for a model from elsewhere."""
        return self.id if self.id.startswith("update-") else None
