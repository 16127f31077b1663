"""What import-linter can't tell: which imports run when a module is loaded, and how the tests are laid out."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from firefusion_assets_tests.builders.studies import REPOSITORY

PACKAGE, TESTS = REPOSITORY / "firefusion_assets", REPOSITORY / "firefusion_assets_tests"
HEAVY = {"torch", "diffusers", "transformers", "rasterio", "matplotlib"}


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(file): file for file in PACKAGE.rglob("*.py")}


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield what runs when a module is loaded: no bodies of functions, nothing for type checkers alone."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING"):
            yield from statements(statement.orelse)
            continue
        for field in ("body", "orelse", "finalbody", "handlers"):
            for inner in getattr(statement, field, []):
                yield from statements(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def loaded_with(file: Path) -> set[str]:
    """Return the modules that loading a file imports, with the packages that hold them."""
    names = set()
    for statement in statements(ast.parse(file.read_text()).body):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            names |= {statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)}
    return names | {name.rpartition(".")[0] for name in names if name in FILES}


def modules_of(part: str) -> list[str]:
    return [name for name in FILES if name.split(".")[1:2] == [part]]


@pytest.mark.parametrize("part", ["definitions", "studies", "cli", "orchestration", "study"])
def test_loading_what_stands_above_the_domain_loads_nothing_heavy(part: str) -> None:
    chains, heavy = {name: name for name in modules_of(part)}, []
    todo = list(chains)
    assert todo
    while todo:
        name = todo.pop()
        for other in loaded_with(FILES[name]) - set(chains):
            if other.split(".")[0] in HEAVY:
                heavy.append(f"{chains[name]} -> {other}")
            elif other in FILES:
                chains[other] = f"{chains[name]} -> {other}"
                todo.append(other)
    assert heavy == []


def test_the_lineage_imports_nothing_heavy_itself() -> None:
    """What it reads of `ingest` may: fingerprints are found without it."""
    imported = {name: {other.split(".")[0] for other in loaded_with(FILES[name])} for name in modules_of("lineage")}
    assert {name: others & HEAVY for name, others in imported.items() if others & HEAVY} == {}


def test_the_tests_mirror_the_package() -> None:
    folders = {file.parent.relative_to(TESTS) for file in TESTS.rglob("test_*.py")}
    assert [folder for folder in folders if not (PACKAGE / folder).is_dir()] == []


def test_no_test_imports_another() -> None:
    files = [*TESTS.rglob("*.py"), *(REPOSITORY / "benchmarks").rglob("*.py")]
    imported = {name for file in files for name in loaded_with(file) if name.startswith("firefusion_assets_tests.")}
    assert imported
    assert [name for name in imported if not name.startswith("firefusion_assets_tests.builders")] == []
