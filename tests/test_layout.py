"""Which folder may import which: in the code, and between code, tests and benchmarks."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import ROOT

# Each knows only those before it.
ORDER = (
    *("core", "config", "policy", "storage", "accounts", "indexing", "upstream", "repository", "events"),
    *("services", "actions", "web", "wiring", "hosts", "lambdas", "cli", "__main__"),
)
# Those that do not meet, whatever the order says: one family never loads the other, nor does a host the other host.
APART = [
    ("elasticpypi.storage.local", "elasticpypi.storage.aws"),
    ("elasticpypi.hosts.machine", "elasticpypi.hosts.aws"),
]


class Import(NamedTuple):
    """``importer`` imports ``imported``, both dotted names of modules; ``late`` if not while it is imported itself."""

    importer: str
    imported: str
    late: bool


def modules(folder: str) -> dict[str, Path]:
    """Dotted name → file of all modules of a folder of the project."""
    found = {}
    for path in (ROOT / folder).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(folder: str) -> list[Import]:
    """All imports of a folder's modules, wherever they stand; those under TYPE_CHECKING too."""
    return list(_imports(modules(folder)))


def _imports(known: dict[str, Path]) -> Iterator[Import]:
    for name, path in known.items():
        for node, late in _statements(ast.parse(path.read_text()), False):
            if isinstance(node, ast.Import):
                yield from (Import(name, alias.name, late) for alias in node.names)
            else:
                assert node.level == 0, f"{name}: an import that is relative"
                for alias in node.names:  # of a module, or of what is in it
                    submodule = f"{node.module}.{alias.name}"
                    yield Import(name, submodule if submodule in known else str(node.module), late)


def _statements(node: ast.AST, late: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, late
        elif isinstance(child, ast.expr):
            continue
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _statements(child, True)
        else:
            yield from _statements(child, late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def within(name: str, package: str) -> bool:
    """Whether a dotted name is a package or lies in it."""
    return f"{name}.".startswith(f"{package}.")


@pytest.fixture(scope="module")
def code() -> list[Import]:
    """The imports of the code from the code; the version is everybody's."""
    return [each for each in imports("elasticpypi") if each.imported.startswith("elasticpypi.")]


def test_every_folder_has_its_place() -> None:
    below = {name.split(".")[1] for name in modules("elasticpypi") if "." in name}
    assert below - {"client"} <= set(ORDER)


def test_a_folder_knows_only_those_before_it(code: list[Import]) -> None:
    """``client`` runs without the rest, so it knows ``core`` alone, and only the command knows it."""
    wrong = []
    for each in code:
        importer, imported = each.importer.split(".")[1], each.imported.split(".")[1]
        if importer == "client" or imported == "client":
            fine = importer == imported or imported == "core" or importer == "cli"
        else:
            fine = ORDER.index(imported) <= ORDER.index(importer)
        if not fine:
            wrong.append(f"{each.importer} imports {each.imported}")
    assert not wrong


def test_families_do_not_meet(code: list[Import]) -> None:
    for pair in APART:
        for one, other in (pair, pair[::-1]):
            assert not [each for each in code if within(each.importer, one) and within(each.imported, other)]


def test_nothing_is_imported_in_a_circle(code: list[Import]) -> None:
    """What is imported by a module at once is ready before it; so are the packages that it lies in."""
    needs: dict[str, set[str]] = {}
    for each in code:
        if not each.late:
            parts = each.imported.split(".")
            packages = {".".join(parts[:end]) for end in range(1, len(parts))}
            outer = {package for package in packages if not within(each.importer, package)}
            needs.setdefault(each.importer, set()).update(outer | {each.imported})
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_what_tests_share_is_in_support() -> None:
    """No test imports another one, or a conftest; the benchmarks are known to their own tests only."""
    for each in imports("tests"):
        assert not each.imported.rpartition(".")[2].startswith(("test_", "conftest")), each
        assert not within(each.imported, "bench") or within(each.importer, "tests.bench"), each


def test_benchmarks_need_no_tests() -> None:
    assert not [each for each in imports("bench") if within(each.imported, "tests") or within(each.imported, "demo")]
