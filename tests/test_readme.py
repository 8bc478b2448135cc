"""README is true: every block of code in it runs, here, as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

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


BLOCKS = [Block(n, *found) for n, found in enumerate(BLOCK.findall(README), 1)]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder that looks like the checkout, where blocks may write."""
    for name in ("samples", "pipelines"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def execute(command: list[str], folder: Path) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(200)
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=str)
def test_python_blocks_run(block: Block, workplace: Path) -> None:
    (workplace / "block.py").write_text(block.text, encoding="utf-8")
    execute([sys.executable, "-W", "error", "block.py"], workplace)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "bash"], ids=str)
def test_commands_run(block: Block, workplace: Path) -> None:
    """Commands that install are those of ``.ci/run``; what they run afterwards is run here."""
    for line in block.text.strip().splitlines():
        if line.startswith(INSTALL):
            line = line.rpartition("&&")[2].strip()
        if line == ".venv/bin/pytest":
            assert block.text.strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
        else:
            execute(["bash", "-c", line.removeprefix(".venv/bin/")], workplace)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=str)
def test_documents_are_right(block: Block, workplace: Path) -> None:
    from streamkit.spec import PipelineSpec

    document = workplace / "block.yaml"
    document.write_text(block.text, encoding="utf-8")
    PipelineSpec.load(document)


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
