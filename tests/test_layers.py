"""The house keeps its shape: imports point down, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamkit

PACKAGE = Path(streamkit.__file__).parent
LEVELS = [
    {"errors", "frame", "masks", "packets", "predictions", "parts", "events", "wire", "meters",
     "heap"},
    {"mailbox", "clock", "policy", "lane", "scheduler", "freshness", "settings", "credentials",
     "buffering", "plugins", "outbound", "asking", "imaging", "recording", "outbox", "web"},
    {"sources", "models", "stages", "sinks"},
    {"streams", "delivery", "engine", "quality", "run", "way", "roster", "dispatch", "watchdog",
     "options", "pipeline", "spec", "traces", "documents", "changes", "engines", "function"},
    {"terminal", "console", "cli", "models_cli", "documents_cli", "blocks_cli", "outbox_cli",
     "bench", "chaos", "doctor", "packaging", "server", "tune", "__main__", "__init__"},
]  # fmt: skip
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
ADAPTERS = LEVELS[2]
HEAVY = {
    "av", "cv2", "onnxruntime", "aiortc", "supervision", "trackers", "matplotlib", "scipy",
}  # fmt: skip
MAY_BE_HEAVY = ADAPTERS | {"imaging", "server"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every imported module, and whether it is imported whenever the file is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _typing_only(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((name, id(node) not in lazy) for name in names)


def _typing_only(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = room_of(path)
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] != "streamkit" or len(parts) < 2 or here == "__init__":
            continue
        there = parts[1]
        assert there in LEVEL, f"{path.name} imports {name}: unknown room"
        sideways = LEVEL[there] == LEVEL[here] == 2 and there != here
        assert LEVEL[there] <= LEVEL[here], f"{path.name} imports {name}: up"
        assert not sideways, f"{path.name} imports {name}: sideways"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_the_adapters(path: Path) -> None:
    always = {name.split(".")[0] for name, at_once in imports(path) if at_once}
    if room_of(path) not in MAY_BE_HEAVY:
        assert not always & HEAVY


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_for_and_is_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert not tree.body or ast.get_docstring(tree), "no first line that says what it is for"
    assert text.count("\n") <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= 50, f"{node.name} has {length} lines"


def test_importing_streamkit_is_cheap_and_light() -> None:
    """The best of three, by the interpreter's own clock: others use this machine too."""
    probe = (
        "import sys, time; began = time.perf_counter(); import streamkit; "
        "took = time.perf_counter() - began; "
        f"print(took, sorted({HEAVY | {'numpy', 'pydantic'}!r} & set(sys.modules)))"
    )
    times = []
    for _ in range(3):
        out = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, check=True
        ).stdout
        took, loaded = out.split(" ", 1)
        assert loaded.strip() == "[]"
        times.append(float(took))
    assert min(times) < 0.150


def test_importing_the_pipeline_loads_no_heavy_library() -> None:
    probe = (
        "import sys; import streamkit.pipeline, streamkit.spec, streamkit.console, streamkit.cli; "
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert sorted(streamkit.__all__) == sorted(streamkit._HOME)
    for name in streamkit.__all__:
        assert getattr(streamkit, name) is not None
