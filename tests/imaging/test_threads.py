"""OpenCV's own threads: none beside ours, unless somebody wants them."""

from __future__ import annotations

import subprocess
import sys

import pytest

_TOLD = """
import cv2
{before}
from streamkit.imaging.threads import one_each
one_each()
print(cv2.getNumThreads())
"""


@pytest.mark.parametrize(("before", "threads"), [("", 1), ("cv2.setNumThreads(77)", 77)])
def test_opencv_works_alone_unless_a_number_was_chosen(before: str, threads: int) -> None:
    script = _TOLD.format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) == threads
