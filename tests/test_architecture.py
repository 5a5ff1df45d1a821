"""The shape of the house: who may import whom, what mirrors what, and what `--help` costs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import stages
from stages import PIPELINE

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "peft", "datasets", "pandas", "pyarrow", "duckdb", "numpy"}


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imported_from(folder: str, *forbidden: str) -> list[str]:
    """`file: module` for each forbidden import under a folder."""
    return [
        f"{path.relative_to(ROOT)}: {module}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for module in sorted(imports_of(path))
        if any(module == name or module.startswith(name + ".") for name in forbidden)
    ]


def test_stages_know_nothing_of_the_command_line() -> None:
    assert imported_from("stages", "seal_cli", "typer", "rich") == []


@pytest.mark.parametrize("part", ["engines", "training", "grading"])
def test_parts_do_not_know_the_domains(part: str) -> None:
    assert imported_from(f"stages/{part}", "stages.domains") == []


def test_trainers_and_engines_run_on_a_bare_gpu_image() -> None:
    for part in ("engines", "training", "bench"):
        assert imported_from(f"stages/{part}", "duckdb", "pyarrow", "datasets", "pydantic") == []


def test_stages_do_not_import_each_other() -> None:
    for stage in PIPELINE:
        others = [f"stages.{other}" for other in PIPELINE if other != stage]
        assert not imports_of(ROOT / f"stages/{stage}.py") & set(others)


def test_the_six_names_are_the_same_everywhere() -> None:
    for stage in PIPELINE:
        assert (ROOT / f"stages/{stage}.py").is_file()
        assert (ROOT / f"seal_cli/commands/{stage}.py").is_file()


def test_only_the_console_prints() -> None:
    for path in (ROOT / "seal_cli").rglob("*.py"):
        if path.name != "console.py":
            assert "print(" not in path.read_text(encoding="utf-8").replace("_print", ""), path


def test_every_module_opens_with_what_it_is() -> None:
    for package in ("seal_cli", "stages"):
        for path in (ROOT / package).rglob("*.py"):
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_every_package_is_listed_in_the_build() -> None:
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for package in ("seal_cli", "stages")
        for path in (ROOT / package).rglob("__init__.py")
    ]
    assert sorted(listed) == sorted(found)


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys, json\n"
        "from seal_cli.app import main\n"
        f"sys.argv = ['seal', *{arguments}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert HEAVY & set(loaded) == set()


def test_importing_stages_imports_nothing_heavy() -> None:
    assert stages.OWNER == "seal-adapt"
    program = "import sys, stages, stages.config, stages.records; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert HEAVY & set(done.stdout.split()) == set()
