"""README is true: every block of code in it runs, here, as it stands, and its tables are whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import AliasChoices

from streamkit import plugins
from streamkit.chaos.faults import FAULTS
from streamkit.chaos.interpreter import PACKAGES
from streamkit.cli import app
from streamkit.errors import BlockErrorCode, OutboxErrorCode, StreamErrorCode
from streamkit.events import DropCause
from streamkit.freshness.admission import AdmissionOptions
from streamkit.freshness.gate import GateOptions
from streamkit.freshness.ladder import DegradeOptions
from streamkit.options import SourceReference, plan
from streamkit.outbox.options import OutboxOptions
from streamkit.server.settings import ServerSettings
from streamkit.settings import Settings
from streamkit.sinks import SINKS
from streamkit.sources import SOURCES
from streamkit.sources.backends import BACKENDS
from streamkit.spec import PipelineSpec
from streamkit.stages import STAGES
from streamkit.streams.options import STREAM_OPTIONS, StreamOptions
from tests.needs import needs_rtsp_server
from tests.processes import process

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALL = "python3 -m venv .venv && .venv/bin/pip install"


@dataclass(frozen=True)
class Block:
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.number}-{self.language}"

    @property
    def needs_cameras(self) -> bool:
        """It serves some, for which GStreamer has to be there."""
        return "streamkit.chaos.lab" in self.text or "streamkit chaos samples" in self.text


BLOCKS = [Block(n, *found) for n, found in enumerate(BLOCK.findall(README), 1)]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder that looks like the checkout, where blocks may write."""
    for name in ("samples", "pipelines"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def surroundings() -> dict[str, str]:
    """Those of an active environment."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def execute(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=surroundings(), capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def beside(line: str, folder: Path) -> Iterator[None]:
    """A command that goes on beside those after it; it has begun when it has said something."""
    command = ["bash", "-c", f"exec {line}"]
    with process(command, cwd=folder, env=surroundings(), stdout=subprocess.PIPE) as going_on:
        try:
            assert going_on.stdout is not None
            assert going_on.stdout.readline()
            yield
        finally:
            going_on.terminate()
            going_on.wait(30)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=str)
def test_python_blocks_run(block: Block, workplace: Path) -> None:
    if block.needs_cameras:
        needs_rtsp_server()
    (workplace / "block.py").write_text(block.text, encoding="utf-8")
    execute([sys.executable, "-W", "error", "block.py"], workplace)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "bash"], ids=str)
def test_commands_run(block: Block, workplace: Path) -> None:
    """Commands that install are those of ``.ci/run``; what they run afterwards is run here."""
    if block.needs_cameras:
        needs_rtsp_server()
    with ExitStack() as going_on:
        for line in block.text.strip().splitlines():
            if line.startswith(INSTALL):
                line = line.rpartition("&&")[2].strip()
            if line == ".venv/bin/pytest":
                assert block.text.strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
            elif line.endswith(" &"):
                going_on.enter_context(beside(line.removesuffix(" &"), workplace))
            else:
                execute(["bash", "-c", line.removeprefix(".venv/bin/")], workplace)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=str)
def test_documents_are_right(
    block: Block, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CAM_HOST", "CAM_USER", "CAM_PASSWORD"):
        monkeypatch.setenv(name, "example")
    document = workplace / "block.yaml"
    document.write_text(block.text, encoding="utf-8")
    spec = PipelineSpec.load(document)
    for source in spec.sources:
        own = StreamOptions().but(spec.stream)
        plan(SourceReference(source.reference, source.options), None, own)


def test_no_block_goes_untested() -> None:
    assert {block.language for block in BLOCKS} <= {"python", "bash", "yaml", "text"}
    assert len(BLOCKS) >= 6


def test_every_file_and_heading_it_links_to_is_there() -> None:
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", README):
        link = target[0] or target[1]
        if link.startswith("#"):
            assert link[1:] in headings, link
        elif "://" not in link:
            assert (ROOT / link).exists(), link


def variables() -> Iterator[str]:
    fields = [*Settings.model_fields.values(), *ServerSettings.model_fields.values()]
    for field in fields:
        alias = field.validation_alias
        yield from map(str, alias.choices if isinstance(alias, AliasChoices) else [alias])


def options_of_sources() -> Iterator[str]:
    for name in SOURCES:
        yield from plugins.options_of(plugins.load(SOURCES, name))


def rooms() -> Iterator[str]:
    for path in sorted((ROOT / "streamkit").iterdir()):
        if not path.name.startswith("_") and (
            path.suffix == ".py" or (path / "__init__.py").exists()
        ):
            yield path.stem


def commands() -> Iterator[str]:
    groups: list[Any] = [typer.main.get_command(app)]
    for group in groups:
        yield from group.commands
        groups += [inner for inner in group.commands.values() if hasattr(inner, "commands")]


NAMES: dict[str, Any] = {
    "rooms": rooms(),
    "commands": commands(),
    "settings": variables(),
    "sources": SOURCES,
    "stages": STAGES,
    "sinks": SINKS,
    "options of streams": STREAM_OPTIONS,
    "options of sources": set(options_of_sources()) - {"reference", "path", "items"},
    "options of documents": set(PipelineSpec.model_fields),
    "options of the gate": GateOptions.__slots__,
    "options of degrade": DegradeOptions.__slots__,
    "options of admission": AdmissionOptions.__slots__,
    "backends": BACKENDS,
    "causes of drops": (cause.name.lower() for cause in DropCause),
    "codes of sources": set(StreamErrorCode) - {StreamErrorCode.INTERRUPTED},
    "codes of blocks": BlockErrorCode,
    "codes of the outbox": OutboxErrorCode,
    "options of the outbox": OutboxOptions.__slots__,
    "faults of the lab": FAULTS,
    "packages of the lab": PACKAGES.split(),
}


@pytest.mark.parametrize("what", NAMES)
def test_the_tables_are_whole(what: str) -> None:
    words = set(re.findall(r"[\w.-]+", README))
    assert not [name for name in map(str, NAMES[what]) if name not in words]


SPOKEN = re.findall(r"`(streamkit [^`]+)`", README) + [
    line[line.index("streamkit ") :].removesuffix(" &")
    for block in BLOCKS
    if block.language == "bash"
    for line in block.text.splitlines()
    if "streamkit " in line
]


@pytest.mark.parametrize("line", sorted(set(SPOKEN)))
def test_every_command_it_names_is_there_with_its_options(line: str) -> None:
    found: Any = typer.main.get_command(app)
    words = line.split()[1:]
    assert words[0] in found.commands
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]
    known = {option for parameter in found.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_command_explains_itself() -> None:
    """Help is markup: a bracket in it may be taken for a style, or be no proper one."""
    commands: list[tuple[str, Any]] = [("streamkit", typer.main.get_command(app))]
    for name, command in commands:
        commands += [(f"{name} {n}", c) for n, c in getattr(command, "commands", {}).items()]
    assert len(commands) > 15
    for name, command in commands:
        with command.make_context(name, [], resilient_parsing=True) as context:
            command.get_help(context)
