"""The shape of the house: who may import whom, what mirrors what, and what `--help` costs."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import stages
from stages import PIPELINE
from stages.domains import DOMAINS
from stages.engines import ENGINES

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "peft", "datasets", "pandas", "pyarrow", "duckdb", "numpy"}
PACKAGES = ("seal_cli", "stages")
# From the ground up; a part imports from lower floors, and `stages` and the version from anywhere.
FLOORS = (
    ("console", "signals", "settings"),
    ("store",),
    ("execution", "importers"),
    ("pipeline",),
    ("reports", "results", "boundary", "discarding", "sharing"),
    ("api", "tables"),
    ("options", "groups"),
    ("commands",),
    ("app",),
    ("__main__",),
)


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def parsed(*packages: str) -> Iterator[tuple[Path, ast.Module]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def when_run(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that are carried out, at once or in a function: not those for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            yield from when_run(node)


@cache
def modules() -> dict[str, set[str]]:
    """Each module of both packages -> those of them that it imports."""
    trees = {}
    for path, tree in parsed(*PACKAGES):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        trees[name.removesuffix(".__init__")] = tree
    found: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        for node in when_run(tree):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            else:
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                wanted = [one if one in trees else str(node.module) for one in inner]
            found[name] |= {one for one in wanted if one in trees and one != name}
    return found


@cache
def parts() -> dict[str, set[str]]:
    """Each package and top-level module of `seal_cli` -> those that it imports."""
    found: dict[str, set[str]] = {}
    for name, imported in modules().items():
        package, _, part = name.partition(".")
        if package == "seal_cli" and part:
            inner = (one.split(".")[1] for one in imported if one.startswith("seal_cli."))
            found.setdefault(part.split(".")[0], set()).update(inner)
    return {part: imported - {part} for part, imported in found.items()}


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


def test_modules_and_functions_fit_on_a_few_screens() -> None:
    long = [path for path, _ in parsed(*PACKAGES) if len(path.read_text().splitlines()) > 350]
    assert long == []
    functions = [
        (path.name, node.name)
        for path, tree in parsed(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert functions == []


def test_commands_are_thin() -> None:
    commands = list((ROOT / "seal_cli/commands").glob("*.py"))
    assert sum(len(path.read_text().splitlines()) for path in commands) < 1800
    assert imported_from("seal_cli/commands", "seal_cli.commands", "seal_cli.execution") == []


def test_no_import_goes_in_a_circle() -> None:
    TopologicalSorter(modules()).prepare()  # raises CycleError
    TopologicalSorter(parts()).prepare()


def test_nothing_imports_from_its_own_floor_or_a_higher_one() -> None:
    floor = {part: number for number, level in enumerate(FLOORS) for part in level}
    assert floor.keys() == parts().keys()
    for part, imported in parts().items():
        assert {one for one in imported if floor[one] >= floor[part]} == set(), part


def test_no_chain_of_imports_is_longer_than_eight() -> None:
    length: dict[str, int] = {}
    for part in TopologicalSorter(parts()).static_order():
        length[part] = 1 + max((length[one] for one in parts()[part]), default=0)
    assert max(length.values()) <= 8


def test_nothing_asks_for_an_engine_or_a_domain_by_its_name() -> None:
    """Outside of their tables: what one can do is asked of its entry."""
    for path, tree in parsed(*PACKAGES):
        if not path.is_relative_to(ROOT / "stages/engines"):
            compared = (node for node in ast.walk(tree) if isinstance(node, ast.Compare))
            words = {c.value for n in compared for c in ast.walk(n) if isinstance(c, ast.Constant)}
            assert words & {*ENGINES, *DOMAINS} == set(), path


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
        "from seal_cli.__main__ import main\n"
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
