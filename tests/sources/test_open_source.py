from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamkit import plugins
from streamkit.errors import ConfigError, SourceConnectionError, StreamErrorCode
from streamkit.sources import SOURCES, open_source, options_from_properties
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.numbered import encode_number
from tests.clips import clip, numbers


class MySource(Source):
    """Somebody's own source, reached as "module:Class"."""

    def __init__(self, *, colour: str = "red") -> None:
        self.live = False
        self.reference = colour
        self.properties: SourceProperties | None = None

    def read(self) -> Captures:
        from datetime import UTC, datetime

        yield Capture(encode_number(5), datetime.now(UTC))

    def interrupt(self) -> None:
        """Nothing to stop."""


HERE = f"{__name__}:MySource"


@pytest.mark.parametrize("name", SOURCES)
def test_every_adapter_in_the_table_can_be_loaded(name: str) -> None:
    made_by = plugins.load(SOURCES, name)
    for promised in ("read", "interrupt"):
        assert callable(getattr(made_by, promised))
    assert plugins.options_of(made_by)


@pytest.mark.parametrize(
    ("reference", "adapter"),
    [
        (0, "WebcamSource"),
        ("1", "WebcamSource"),
        ("/dev/video3", "WebcamSource"),
        ("rtsp://cam/live", "RtspSource"),
        ("RTSPS://cam/live", "RtspSource"),
        ("rtmp://host/app/key", "NetworkSource"),
        ("udp://@239.0.0.1:1234", "NetworkSource"),
        ("a.mp4", "FileSource"),
        (Path("a.MKV"), "FileSource"),
        ("file:///a%20b.mp4", "FileSource"),
        ("a.JPG", "ImageSource"),
        ("synthetic:fps=5", "SyntheticSource"),
        ("TestPatternStreamProducer", "SyntheticSource"),
        ([], "GeneratorSource"),
        (iter([]), "GeneratorSource"),
        (lambda: [], "GeneratorSource"),
        (HERE, "MySource"),
    ],
)
def test_a_reference_picks_its_adapter(reference: Any, adapter: str) -> None:
    assert type(open_source(reference)).__name__ == adapter


def test_file_addresses_are_decoded(tmp_path: Path) -> None:
    folder = tmp_path / "mit leer & 100% ü"
    folder.mkdir()
    path = clip(folder / "a.mp4", frames=5)
    for reference in (path.as_uri(), str(path), path):
        assert numbers(open_source(reference).read()) == list(range(5))


def test_a_source_stays_as_it_is() -> None:
    source = MySource()
    assert open_source(source) is source
    with pytest.raises(ConfigError, match="belong"):
        open_source(source, colour="blue")


def test_a_class_of_ones_own_takes_its_options() -> None:
    assert open_source(HERE, colour="blue").reference == "blue"


@pytest.mark.parametrize("reference", [None, 3.5, True, object(), "gopher://host/x"])
def test_what_is_no_reference_is_refused(reference: Any) -> None:
    with pytest.raises(ConfigError):
        open_source(reference)


@pytest.mark.parametrize(
    ("reference", "accepted"),
    [("a.mp4", "started_at"), ("rtsp://cam", "read_timeout"), (0, "fourcc"), ([], "live")],
)
def test_an_unknown_option_is_refused_with_those_there_are(reference: Any, accepted: str) -> None:
    with pytest.raises(ConfigError, match=r"'speed'.*" + accepted):
        open_source(reference, speed=2)


def test_names_that_lead_nowhere_say_why() -> None:
    with pytest.raises(ConfigError, match="not installed"):
        open_source("no_such_package.video:Thing")
    with pytest.raises(ConfigError, match="has no 'Nothing'"):
        open_source(f"{__name__}:Nothing")
    with pytest.raises(ConfigError, match="is not a source"):
        open_source("builtins:dict")
    with pytest.raises(ConfigError, match="known: file"):
        plugins.load(SOURCES, "telescope")


def test_importing_sources_imports_no_codec() -> None:
    code = (
        "import sys, streamkit.sources;"
        "heavy = {'av', 'cv2', 'numpy.linalg', 'onnxruntime'} & set(sys.modules);"
        "assert not heavy & {'av', 'cv2', 'onnxruntime'}, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("reference", ["/no/such/clip.mp4", "/no/such/picture.png"])
def test_what_is_not_there_is_not_found(reference: str) -> None:
    with pytest.raises(SourceConnectionError) as caught:
        next(open_source(reference).read())
    assert caught.value.code is StreamErrorCode.NOT_FOUND


def test_properties_of_existing_scripts_become_options(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert options_from_properties({"pos_msec": 1500, "CAP_PROP_POS_FRAMES": 3.0}) == {
            "start": 1.5,
            "start_frame": 3,
        }
        wishes = {"frame_width": 640.0, "frame_height": 480, "fps": 15, "fourcc": 1196444237.0}
        camera = {"width": 640, "height": 480, "fps": 15.0, "fourcc": "MJPG"}
        assert options_from_properties(wishes, 0) == camera
    assert not caplog.records


def test_properties_without_effect_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        given = {"frame_width": 640, "brightness": 3, "pos_frames": 2}
        assert options_from_properties(given, "a.mp4") == {"start_frame": 2}
    assert len(caplog.records) == 1
    assert "frame_width, brightness" in caplog.text


def test_a_property_opencv_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'speed'.*pos_msec"):
        options_from_properties({"speed": 1})
