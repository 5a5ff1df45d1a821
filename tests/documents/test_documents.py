"""README and guides: every shell block runs as printed, and prints what is shown."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from documents import blocks, differs

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "AGENTS.md",
    "examples/CONTRIBUTING.md",
    *sorted(f"examples/guides/{p.name}" for p in ROOT.glob("examples/guides/*.md")),
]
MARK = "==== block"


def runs(path: Path) -> bool:
    return any(block.reason is None for block in blocks(path))


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if runs(ROOT / name)])
def test_what_a_document_shows(name: str, tmp_path: Path) -> None:
    for entry in ROOT.iterdir():  # the commands are those of somebody in a clone
        if entry.name not in (".git", "demo-store"):
            (tmp_path / entry.name).symlink_to(entry)
    run = [block for block in blocks(ROOT / name) if block.reason is None]
    script = "\n".join(f"echo '{MARK} {i}'\n{block.code}" for i, block in enumerate(run))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SEAL_")} | {
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "SEAL_STORE": "store",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.split(MARK)[1:]
    for block, text in zip(run, printed, strict=True):
        if block.shown is not None:
            assert differs(block.shown, text.partition("\n")[2]) is None, text


def test_a_line_that_is_not_printed_is_found() -> None:
    assert differs("a 0.50\n…\nb 3\n", "a 0.53\nx\ny\nb 3\n") is None
    assert differs("a 0.50\n…\nb 3\n", "a 0.53\nx\ny\n") is not None
    assert differs("a 0.50\n", "a 0.60\n") is not None


def test_every_link_leads_to_a_file() -> None:
    for name in DOCUMENTS:
        path = ROOT / name
        for link in re.findall(r"\]\(([^)#\s]+)\)", path.read_text(encoding="utf-8")):
            assert "://" in link or (path.parent / link).exists(), f"{name}: {link}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


def test_the_commands_are_as_they_are_written_down() -> None:
    import commands

    written = (ROOT / "examples/guides/commands.md").read_text(encoding="utf-8")
    assert written == commands.document(), "run examples/guides/commands.py"
