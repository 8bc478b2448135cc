"""Renders the sample clip: ``python samples/render_street.py --out samples/street.mp4``."""

from __future__ import annotations

import argparse
from pathlib import Path

from street.scene import CLIP_FRAMES, CLIP_SEED, Scene, write_clip


def main() -> None:
    """Render the clip from the command line."""
    parser = argparse.ArgumentParser(description="Render the sample street.")
    parser.add_argument("--out", type=Path, default=Path("samples/street.mp4"))
    parser.add_argument("--seed", type=int, default=CLIP_SEED)
    parser.add_argument("--frames", type=int, default=CLIP_FRAMES)
    options = parser.parse_args()
    write_clip(Scene(options.seed, options.frames), options.out)


if __name__ == "__main__":
    main()
