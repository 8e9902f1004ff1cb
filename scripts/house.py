"""Measure the house: its lines, rooms, imports between them, and the largest things in it.

It reads the files beside it alone, so that it can be put into an older checkout too. Prints one
figure a line; what a copied invoice costs is in tests/copying/test_calls.py.
"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "productive_sage"


def rooms() -> dict[str, list[Path]]:
    """The modules of the application by room: a package, or a module of its own."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        if parts[0] != "sandbox":
            room = parts[0].removesuffix(".py")
            found.setdefault(room, []).append(path)
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of the application that a module imports, wherever it does so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "productive_sage":
            yield from (f"productive_sage.{one.name}" for one in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "productive_sage."
        ):
            yield str(node.module)


def sizes() -> None:
    """Print what can be read off the files."""
    found = rooms()
    paths = [path for those in found.values() for path in those]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    between = {
        (room, name.split(".")[1])
        for room, those in found.items()
        for path in those
        for name in imported(trees[path])
        if name.split(".")[1] not in (room, "__version__")
    }
    classes = {
        f"{path.relative_to(PACKAGE)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in paths
        for node in ast.walk(trees[path])
        if isinstance(node, ast.ClassDef)
    }
    functions = [
        (node.end_lineno or 0) - node.lineno + 1
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = contracts["tool"]["importlinter"]["contracts"][0]["layers"]
    largest, broadest = max(paths, key=lines.__getitem__), max(classes, key=classes.__getitem__)
    print(f"{'lines of the application':<34} {sum(lines.values()):,}")
    print(f"{'modules':<34} {len(paths)}")
    print(f"{'rooms':<34} {len(found)}")
    print(f"{'imports between rooms':<34} {len(between)}")
    print(f"{'import layers':<34} {len(layers)}")
    print(f"{'modules over 450 lines':<34} {sum(n > 450 for n in lines.values())}")
    print(f"{'largest module':<34} {lines[largest]} ({largest.relative_to(PACKAGE)})")
    print(f"{'largest class':<34} {classes[broadest]} ({broadest})")
    print(f"{'functions over 40 lines':<34} {sum(n > 40 for n in functions)} of {len(functions)}")


if __name__ == "__main__":
    sizes()
