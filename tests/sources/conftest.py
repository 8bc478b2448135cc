"""Clips and cameras that the tests of sources share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cameras import Camera, camera
from tests.clips import clip


@pytest.fixture(scope="session")
def camera_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds as a camera sends them: no B-frames, a key frame a second, 30 fps declared."""
    return clip(tmp_path_factory.mktemp("camera") / "clip.mp4", frames=300, fps=30, gop=30)


@pytest.fixture
def cam(camera_clip: Path) -> Iterator[Camera]:
    """A camera without a password."""
    with camera(camera_clip) as running:
        yield running
