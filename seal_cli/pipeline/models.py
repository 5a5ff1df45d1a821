"""What the user calls a model -> its id and its folder. Loads nothing.

A reference is a local folder, a name on the Hugging Face hub, the id of an `update` artifact (a
prefix, `@latest:update`), or `tiny` or `tiny-grids`, the models that come with the package.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seal_cli.store.artifact import Artifact
from seal_cli.store.identity import model_digest
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError
from stages.identity import digest
from stages.models import ADAPTER, DTYPES, check_directory, checkpoint_dtype, read_json
from stages.records import Policy
from stages.training import MERGE_SEMANTICS

TINY = Path(__file__).parents[1] / "tiny"
TINY_GRIDS = Path(__file__).parents[1] / "tiny-grids"
SHIPPED = {"tiny": TINY, "tiny-grids": TINY_GRIDS}
_DEEPEST = 8  # adapters on one another
_PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine: its row in `policies`, its folder, the artifact it came from."""

    policy: Policy
    path: Path
    artifact: Artifact | None = None
    base: "LocalModel | None" = None  # what an adapter in `path` is folded into

    @property
    def id(self) -> str:
        """What rows and keys call it."""
        return self.policy.policy

    @property
    def inputs(self) -> list[Artifact]:
        """The artifact that has to travel along, if it is one."""
        return [self.artifact] if self.artifact else []

    @property
    def weights(self) -> Path:
        """The folder of whole weights: its own, or that of its base."""
        return self.base.weights if self.base else self.path

    def home(self, name: str | Path) -> Path:
        """Where a file lies that an adapter may bring itself, else that its base has."""
        there = self.base is None or (self.path / name).is_file()
        return self.path if there else self.base.home(name)  # type: ignore[union-attr]

    def dtype(self, wanted: str) -> str:
        """What `auto` means for this checkpoint. Raises ConfigError."""
        if wanted not in DTYPES:  # before a run is begun with it
            raise ConfigError(
                f"there is no dtype {wanted!r}.", f"Choose one of: {', '.join(DTYPES)}."
            )
        return checkpoint_dtype(self.weights) if wanted == "auto" else wanted


def resolve_model(workspace: Workspace, reference: str) -> LocalModel:
    """A reference as a local model.

    Raises:
        InputError: there is no such model, or its folder cannot be loaded safely.

    """
    if reference in SHIPPED:
        return _base(workspace, SHIPPED[reference], reference)
    if re.match(r"@|update-", reference) or workspace.names.get(reference):
        return _updated(workspace, workspace.artifact(workspace.resolve(reference)))
    if re.fullmatch(r"model-[0-9a-f]{16}", reference):
        return _known(workspace, reference)
    if re.fullmatch(r"endpoint-[0-9a-f]{16}", reference):
        raise InputError(
            f"{reference} is a model behind a server: it has no weights here.",
            "Give a model folder, a hub name, an update artifact, or tiny.",
        )
    path = Path(reference).expanduser()
    if path.is_dir():
        return _base(workspace, path, path.resolve().name)
    if _HUB_NAME.fullmatch(reference) and not path.exists():
        return _base(workspace, _from_hub(reference), reference)
    raise InputError(
        f"there is no model {reference!r}.",
        "Give a model folder, a hub name such as Qwen/Qwen2.5-0.5B, an update artifact, or tiny.",
    )


def writer_of(workspace: Workspace, self_edits: Artifact, *, wanted: str | None) -> LocalModel:
    """The model that wrote these self-edits, or `wanted`, found on this machine.

    One behind a server has no weights here, so another has to be named.

    Raises:
        ConfigError: the writer is not known, or its weights are not where they were.

    """
    if wanted is not None:
        return resolve_model(workspace, wanted)
    policy = self_edits.manifest.get("about", {}).get("writer")
    known = self_edits.manifest["models"].get(policy)
    if policy is None or known is None:
        raise ConfigError(
            f"{self_edits.id} does not say which local model wrote it.",
            "Name one with --student (or --policy for update).",
        )
    if "server" in known:
        raise ConfigError(
            f"{self_edits.id} was written by {known['name']} behind a server: it has no weights "
            "here to train.",
            "Name a model that has some with --student (or --policy for update).",
        )
    return find_model(workspace, policy, known)


def find_model(workspace: Workspace, policy: str, known: dict[str, str]) -> LocalModel:
    """A model by its id, looked for where a manifest says it was, then by its name on this machine.

    A manifest may come from anywhere: what it names is asked of no hub.

    Raises:
        ConfigError: neither place has these very weights.

    """
    if policy.startswith("update-"):
        return _updated(workspace, workspace.artifact(policy))
    name, path = known.get("name", ""), Path(known.get("path", ""))
    # Only a model's folder is walked: a manifest may name any.
    named = bool(known.get("path")) and any((path / f).is_file() for f in ("config.json", ADAPTER))
    candidates = [path] if named else []
    if (workspace.models / policy).is_dir():
        candidates.append(workspace.models / policy)
    if name in SHIPPED:
        candidates.append(SHIPPED[name])
    elif _HUB_NAME.fullmatch(name):
        candidates += _cached(name)  # a manifest may come from anybody: nothing is downloaded
    for candidate in candidates:
        with suppress(InputError):  # another one may be whole
            found = _base(workspace, candidate, name)
            if found.id == policy:
                return found
    raise ConfigError(
        f"{policy} ({name}) is not at {path} with the same content.",
        "Name its folder with --student (or --policy for update).",
    )


def folder_of(workspace: Workspace, model: str, known: dict[str, str]) -> Path | None:
    """The folder of a whole model; null for one that comes with the package or wears an adapter.

    Raises:
        ConfigError: it is not on this machine.

    """
    found = find_model(workspace, model, known)
    shipped = found.path in SHIPPED.values()
    return None if shipped or found.base is not None else found.path


def _known(workspace: Workspace, policy: str) -> LocalModel:
    """A model that some artifact of this store was made with."""
    places = [
        a.manifest["models"][policy] for a in workspace.all() if policy in a.manifest["models"]
    ]
    for place in places[:-1]:
        with suppress(ConfigError):  # it may have moved since
            return find_model(workspace, policy, place)
    if places:
        return find_model(workspace, policy, places[-1])
    raise InputError(f"no artifact of {workspace.root} was made with {policy}.", "Give its folder.")


def _base(workspace: Workspace, path: Path, name: str) -> LocalModel:
    """A model that no `update` of ours made: named by its content."""
    return (
        _adapted(workspace, path, name)
        if (path / ADAPTER).exists()
        else _whole(workspace, path, name)
    )


def _whole(workspace: Workspace, path: Path, name: str) -> LocalModel:
    check_directory(path)
    model_id = f"model-{model_digest(path, workspace.digests)[:16]}"
    return LocalModel(Policy(model_id, name, None, 0, None, "base", None), path)


def _adapted(workspace: Workspace, path: Path, name: str, depth: int = 0) -> LocalModel:
    """A PEFT folder: its base, in the folder itself or where it says, and the adapter on top.

    Raises:
        InputError: the base is not on this machine.

    """
    wanted = read_json(path / ADAPTER).get("base_model_name_or_path")
    if (path / "config.json").exists():
        base = _whole(workspace, path, name)
    elif not isinstance(wanted, str) or depth > _DEEPEST:
        raise InputError(
            f"{path} is an adapter that does not say its base.",
            f"Put the base's folder or name as base_model_name_or_path into its {ADAPTER}.",
        )
    elif wanted in SHIPPED:
        base = _whole(workspace, SHIPPED[wanted], wanted)
    else:
        there = next((p for p in (Path(wanted).expanduser(), *_cached(wanted)) if p.is_dir()), None)
        if there is None:
            raise InputError(
                f"{wanted}, the base of the adapter {path}, is not on this machine.",
                f"Download it, or put its folder as base_model_name_or_path into {ADAPTER}.",
            )
        deeper = (there / ADAPTER).exists()
        base = (
            _adapted(workspace, there, wanted, depth + 1)
            if deeper
            else _whole(workspace, there, wanted)
        )
    own = model_digest(path, workspace.digests)
    model_id = f"model-{digest(base.id, own, MERGE_SEMANTICS)}"
    return LocalModel(Policy(model_id, name, None, 0, None, "base", None), path, None, base)


def _updated(workspace: Workspace, artifact: Artifact) -> LocalModel:
    if artifact.kind != "policies":
        raise InputError(
            f"{artifact.id} is not a policy but {artifact.kind}.",
            "Give the id that `seal update` printed.",
        )
    (policy,) = artifact.rows(Policy)
    path = artifact.weights(str(policy.path))
    base = None
    if (path / ADAPTER).exists():
        parent = str(policy.parent)
        base = find_model(workspace, parent, artifact.manifest["models"].get(parent, {}))
    return LocalModel(policy, path, artifact, base)


def _cached(name: str) -> list[Path]:
    """The snapshot of a hub name that is on this machine, as a list of none or one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(name, allow_patterns=_PATTERNS, local_files_only=True)
    except (LocalEntryNotFoundError, HFValidationError):
        return []
    return [Path(found)]


def _from_hub(name: str) -> Path:
    """A snapshot on disk: the cached one, else downloaded."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    cached = _cached(name)
    if cached:
        return cached[0]
    try:
        return Path(snapshot_download(name, allow_patterns=_PATTERNS))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{name} is neither a local folder nor to be had from the hub.",
            "Check the name and the network, or give a folder.",
        ) from error
