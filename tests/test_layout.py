"""The architecture, as the imports show it, and the size budgets."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = [path for folder in ("server", "tools", "core") for path in sorted((ROOT / folder).rglob("*.py"))]
MODES = {"prepare", "train", "evaluate", "merge", "openai_jobs"}
SHARED = {"runs", "reports", "examples", "models", "personal"}
MAY_IMPORT = {
    "server": {"tools", "ground", *MODES, *SHARED},
    "tools": {"ground", *MODES, *SHARED},
    **{mode: {"ground", *SHARED} for mode in MODES},
    **{shared: {"ground", *SHARED} for shared in SHARED},
    "ground": set(),
}
MAX_FUNCTION_LINES = 50
MAX_FILE_LINES = 400


def imported(path: Path) -> set[str]:
    """The project's modules that a file imports, as paths from the root: "core/runs/watch"."""
    here = path.relative_to(ROOT).parent.parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*here[: len(here) - node.level + 1], *(node.module or "").split(".")]
            names = [""] if node.module else [alias.name for alias in node.names]
            found |= {"/".join(part for part in [*base, name] if part) for name in names}
    return found


def area(module: str) -> str:
    """Where in the architecture a module lies: server, tools, a folder of core, or the ground."""
    parts = module.split("/")
    if parts[0] != "core":
        return parts[0]
    return parts[1] if len(parts) > 1 and parts[1] in MODES | SHARED else "ground"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_imports_only_what_lies_below_it(path: Path):
    own = area(str(path.relative_to(ROOT).with_suffix("")))
    allowed = MAY_IMPORT[own] | {own}
    assert {area(module) for module in imported(path)} <= allowed, imported(path)


def test_every_folder_with_code_is_packaged():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {"faion_finetuner." + ".".join(path.relative_to(ROOT).parent.parts) for path in CODE}
    assert set(packages) == folders


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{path.name}:{node.lineno} {node.name} has {lines} lines"


def test_the_server_starts_without_the_heavy_libraries():
    code = (
        "import sys; from faion_finetuner.server import app, cli; from faion_finetuner.core.settings import Settings;"
        "app.build_server(Settings.from_environment());"
        "heavy = ('torch', 'transformers', 'datasets', 'matplotlib', 'openai', 'polars');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_a_folder_by_its_bare_name_is_refused():
    done = subprocess.run([sys.executable, "-c", "import core"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "faion_finetuner.core" in done.stderr


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_public_thing_says_what_it_does(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{path} has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}:{node.lineno} {node.name} has no docstring"
