"""What a user installs: a wheel, alone in a folder, runs one round on the shipped model."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROUND = """
set -euo pipefail
seal() { "$PYTHON" -m seal_cli "$@" -q; }
contexts=$("$PYTHON" -m seal_cli import contexts tiny --split train --limit 2)
seal generate "$contexts" --policy tiny --samples 2 | seal score - | seal filter - | seal update -
"""


def test_one_round_from_a_wheel(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()  # setuptools writes beside what it builds, and packs what lay there before
    for name in ("pyproject.toml", "README.md", "LICENSE", "seal_cli", "stages"):
        (source / name).symlink_to(ROOT / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    made = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, source]
    subprocess.run([*pip, *made], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True)
    packed = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in packed if not name.endswith("dist-info")} == {"seal_cli", "stages"}

    environment = os.environ | {
        "PYTHONPATH": str(installed), "PYTHON": sys.executable, "SEAL_STORE": "store"
    }  # fmt: skip

    def run(*command: str) -> str:
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, text=True, stdout=subprocess.PIPE
        ).stdout

    at = run(sys.executable, "-c", "import seal_cli, stages; print(seal_cli.__file__)")
    assert Path(at.strip()).is_relative_to(installed)
    assert "generate" in run(sys.executable, "-m", "seal_cli", "--help")
    assert run("bash", "-c", ROUND).startswith("update-")
