"""The README.md of a hub repository: what makes `load_dataset` and PEFT find what was pushed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from seal_cli.store.artifact import WEIGHTS, Artifact
from seal_cli.store.remote.place import FOLDER, prefix_of

_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_BEGIN = "<!-- seal: an artifact a line -->"


def card(before: bytes | None, sent: Sequence[Artifact], kind: str, repository: str) -> bytes:
    """The card of before with these artifacts in it; text of one's own above the list stays."""
    from huggingface_hub import RepoCard

    text = (before or b"---\n{}\n---\n").decode("utf-8", "replace")
    old = RepoCard(text, ignore_metadata_errors=True)
    facts: dict[str, Any] = old.data.to_dict()  # type: ignore[no-untyped-call]
    facts = _dataset(facts, sent) if kind == "dataset" else _model(facts, sent)
    facts["tags"] = sorted({*facts.get("tags", []), "seal"})
    intro, _, listed = old.text.partition(_BEGIN)
    lines = {line: None for line in listed.splitlines() if line.startswith("- ")}
    lines |= {_line(artifact, kind, repository): None for artifact in sent}
    intro = intro.strip() or f"# {repository}\n\nArtifacts of `seal`: `seal pull ID {_url(kind)}`."
    intro = intro.replace(_url(kind), f"{_url(kind)}{repository}") if before is None else intro
    text = f"{intro}\n\n{_BEGIN}\n" + "\n".join(lines) + "\n"
    return f"---\n{_yaml(facts)}---\n\n{text}".encode()


def _url(kind: str) -> str:
    return "hf://datasets/" if kind == "dataset" else "hf://"


def _dataset(facts: dict[str, Any], sent: Sequence[Artifact]) -> dict[str, Any]:
    """With a configuration for each table, of all its artifacts: `load_dataset(repo, "rewards")`.

    Libraries skip folders that begin with `__`, unless a pattern names them.
    """
    files: dict[str, list[str]] = {}
    for config in facts.get("configs", []):
        if isinstance(config, Mapping) and isinstance(config.get("data_files"), list):
            files[str(config.get("config_name"))] = list(map(str, config["data_files"]))
    for artifact in sent:
        for table in artifact.tables:
            inside = "" if table == artifact.kind else f"__{table}/"
            pattern = f"{FOLDER}/{artifact.id}/{prefix_of(artifact)}/{inside}part-*.parquet"
            files[table] = [*dict.fromkeys([*files.get(table, []), pattern])]
    configs = [{"config_name": name, "data_files": found} for name, found in files.items()]
    return facts | {"configs": configs}


def _model(facts: dict[str, Any], sent: Sequence[Artifact]) -> dict[str, Any]:
    """With the hub's names of the base models, and the library that loads what is here."""
    names = facts.get("base_model") or []
    bases = dict.fromkeys([names] if isinstance(names, str) else names)
    adapters = facts.get("library_name") == "peft"
    for artifact in sent:
        if not _folders(artifact):
            continue
        adapters = adapters or _has_adapters(artifact)
        for place in artifact.manifest["models"].values():
            if _HUB_NAME.fullmatch(place.get("name", "")):
                bases[place["name"]] = None
    found = facts | {"library_name": "peft" if adapters else "transformers"}
    return found | ({"base_model": [*bases]} if bases else {})


def _folders(artifact: Artifact) -> list[str]:
    """Its folders of weights."""
    names = artifact.manifest["files"]
    found = (n.rpartition("/")[0] for n in names if n.startswith(f"{WEIGHTS}/"))
    return [*dict.fromkeys(found)]


def _has_adapters(artifact: Artifact) -> bool:
    return any(name.endswith("/adapter_config.json") for name in artifact.manifest["files"])


def _line(artifact: Artifact, kind: str, repository: str) -> str:
    """An artifact, and for weights how the first of them are loaded."""
    made = f" from {', '.join(artifact.inputs)}" if artifact.inputs else ""
    line = f"- `{artifact.id}`: {artifact.kind}{made}"
    folders = _folders(artifact)
    if kind == "dataset" or not folders:
        return line
    folder = f"{FOLDER}/{artifact.id}/{prefix_of(artifact)}/{folders[0]}"
    if _has_adapters(artifact):
        call = f'PeftModel.from_pretrained(base, "{repository}", subfolder="{folder}")'
    else:
        call = f'AutoModelForCausalLM.from_pretrained("{repository}", subfolder="{folder}")'
    return f"{line}; `{call}`" + (f", and {len(folders) - 1} more" if len(folders) > 1 else "")


def _yaml(facts: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(facts), sort_keys=False, allow_unicode=True, width=10_000))
