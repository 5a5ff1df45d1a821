"""Whatever transformers opens in a model's folder makes the model; nothing else is opened."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seal_cli.pipeline.models import resolve_model
from seal_cli.store.workspace import Workspace
from stages.training import Lora

ROOT = Path(__file__).parents[2]
# Loads models as runs do and says which files were opened: in their folders by inotify, for
# libraries open files past Python, and elsewhere by an audit hook.
PROGRAM = """
import ctypes, json, os, struct, sys
from pathlib import Path
opened = set()
sys.addaudithook(lambda event, args: opened.add(os.fsdecode(args[0]))
    if event == "open" and isinstance(args[0], (str, bytes)) else None)
libc = ctypes.CDLL(None, use_errno=True)
watcher, watched = libc.inotify_init1(os.O_NONBLOCK), {}
for place in sys.argv[2:]:
    for folder in [Path(place), *(p for p in Path(place).rglob("*") if p.is_dir())]:
        watched[libc.inotify_add_watch(watcher, os.fsencode(folder), 0x20)] = folder  # IN_OPEN
def seen():
    while True:
        try:
            events = os.read(watcher, 1 << 16)
        except BlockingIOError:
            return
        while events:
            number, mask, _, size = struct.unpack("iIII", events[:16])
            name, events = events[16 : 16 + size].rstrip(b"\\0"), events[16 + size :]
            if not mask & 0x40000000:  # a folder
                yield str(watched[number] / os.fsdecode(name))
import peft, transformers
from seal_cli.execution.runtime import Runtime
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Settings
from seal_cli.store.workspace import Workspace
store = Workspace(Path(sys.argv[1]))
resolver = Resolver(store, Settings(None))
found = {}
for folder in sys.argv[2:]:  # the first is the base: what is imported late is there then
    model = resolver.reference(resolver.model(folder), "auto")
    list(seen())
    opened.clear()
    Runtime(store, "cpu").model(model)
    found[folder] = sorted({*map(os.path.realpath, opened), *seen()})
print(json.dumps(found))
"""


def lora(model: Path, seed: int = 0) -> Lora:
    import torch

    from stages.models import weight_shapes

    torch.manual_seed(seed)
    shapes = {n: s for n, s in weight_shapes(model).items() if n.endswith("q_proj.weight")}
    assert shapes
    weights = {
        name.removesuffix(".weight"): (torch.randn(2, s[1]), torch.randn(s[0], 2))
        for name, s in shapes.items()
    }
    return Lora(2, 4, weights)


def adapter(path: Path, base: Path, **more: Any) -> None:
    """A PEFT folder as PEFT writes it."""
    from stages.training import directory

    directory.save(lora(base), path)
    config = json.loads((path / "adapter_config.json").read_text())
    (path / "adapter_config.json").write_text(json.dumps(config | more))


def plain(path: Path, base: Path) -> None:
    shutil.copytree(base, path)


def with_more(path: Path, base: Path) -> None:
    """Whatever transformers looks for by name."""
    shutil.copytree(base, path)
    (path / "additional_chat_templates").mkdir()
    (path / "additional_chat_templates" / "tool.jinja").write_text("{{ messages }}")
    (path / "chat_template.jinja").write_text("{{ messages }}")
    (path / "special_tokens_map.json").write_text("{}")
    (path / "added_tokens.json").write_text("{}")
    (path / "generation_config.json").write_text("{}")
    (path / "README.md").write_text("words")


def sharded(path: Path, base: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, path)
    tensors = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, path / file, metadata={"format": "pt"})
    places = {name: file for file, part in halves.items() for name in part}
    index = {"metadata": {}, "weight_map": places}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


def beside(path: Path, base: Path) -> None:
    """A whole model with an adapter in its folder."""
    shutil.copytree(base, path)
    adapter(path, base)


def apart(path: Path, base: Path) -> None:
    adapter(path, base, base_model_name_or_path=str(base))


LAYOUTS: dict[str, Callable[[Path, Path], None]] = {
    "plain": plain, "with-more": with_more, "sharded": sharded, "beside": beside, "apart": apart,
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("layouts")
    shutil.copytree(random_model, folder / "base")
    for name, make in LAYOUTS.items():
        make(folder / name, folder / "base")
    return {name: folder / name for name in LAYOUTS}


@pytest.fixture(scope="module")
def opened(
    folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Path]]:
    """Every file that loading opened, but for those of Python, the machine and our packages."""
    store = tmp_path_factory.mktemp("opened") / "store"
    places = [folders["plain"].parent / "base", *folders.values()]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store), *map(str, places)],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    others = (sys.prefix, sys.base_prefix, ROOT, "/proc", "/sys", "/dev", "/etc", "/usr", store)
    ours = tuple(map(os.path.realpath, others))
    return {
        name: [Path(p) for p in found[str(folder)] if not p.startswith(ours) and Path(p).is_file()]
        for name, folder in folders.items()
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_opened_lies_in_the_folder_and_makes_the_model(
    layout: str, folders: dict[str, Path], opened: dict[str, list[Path]], tmp_path: Path
) -> None:
    folder, base = folders[layout], folders[layout].parent / "base"
    allowed = [folder, base] if layout == "apart" else [folder]
    names = {path.name for path in opened[layout]}
    assert {"config.json", "tokenizer.json"} <= names, names
    assert any(name.endswith(".safetensors") for name in names)
    if layout in ("beside", "apart"):
        assert {"adapter_config.json", "adapter_model.safetensors"} <= names
    before = resolve_model(Workspace(tmp_path), str(folder)).id
    for path in opened[layout]:
        assert any(path.is_relative_to(place) for place in allowed), path
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert resolve_model(Workspace(tmp_path), str(folder)).id != before, path
        path.write_bytes(content)
    assert resolve_model(Workspace(tmp_path), str(folder)).id == before


@pytest.mark.parametrize("layout", ["beside", "apart"])
def test_an_adapter_is_folded_into_its_base(
    seal: Any, passages: Path, layout: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    """The same texts as the merged model of the same weights; other texts than the base."""
    from stages.loading import load
    from stages.training import merge

    base = load(folders["plain"], "cpu", "float32", "once")
    merged = tmp_path / "merged"
    merge.save_merged(base, lora(folders["plain"]), merged)
    contexts = seal("import", "contexts", passages).id
    texts = {}
    for name, model in (("base", folders["plain"]), ("merged", merged), (layout, folders[layout])):
        made = seal("generate", contexts, "--policy", model, "--samples", 1, "--max-tokens", 12)
        rows = seal("sql", f"select completion from self_edits where artifact_id = '{made.id}' "
                    "order by context_id, sample", "-f", "json").out  # fmt: skip
        texts[name] = rows
    assert texts[layout] == texts["merged"]
    assert texts[layout] != texts["base"]


def test_a_base_that_is_not_there(
    seal: Any, passages: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    for i, base in enumerate((None, str(tmp_path / "nowhere"), "some/where", 3)):
        adapter(tmp_path / f"a{i}", folders["plain"], base_model_name_or_path=base)
        result = seal("generate", contexts, "--policy", tmp_path / f"a{i}")
        assert result.code == 3, result.err
    loop = tmp_path / "loop"
    adapter(loop, folders["plain"], base_model_name_or_path=str(loop))
    assert seal("generate", contexts, "--policy", loop).code == 3


def test_an_adapter_of_shared_weights_is_refused(
    seal: Any, passages: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    """A head that is the embedding cannot be adapted alone once it is merged."""
    import torch
    from safetensors.torch import load_file, save_file

    tied = tmp_path / "tied"
    shutil.copytree(folders["plain"], tied)
    config = json.loads((tied / "config.json").read_text())
    (tied / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    tensors = load_file(tied / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, tied / "model.safetensors", metadata={"format": "pt"})
    adapter(tmp_path / "head", folders["plain"], base_model_name_or_path=str(tied))
    out, width = tensors["model.embed_tokens.weight"].shape
    pair = {"lora_A": torch.ones(2, width), "lora_B": torch.ones(out, 2)}
    tensors = {f"base_model.model.lm_head.{name}.weight": value for name, value in pair.items()}
    save_file(tensors, tmp_path / "head" / "adapter_model.safetensors")
    contexts = seal("import", "contexts", passages).id
    result = seal("generate", contexts, "--policy", tmp_path / "head", "--max-tokens", 4)
    assert result.code == 3
    assert "several modules share" in result.err
