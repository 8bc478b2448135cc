"""Continuous recording: everything the camera sent, cut by the clock, whatever else happens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError, SinkError
from streamkit.frame import VideoFrame
from streamkit.packets import Packet
from streamkit.recording.ring import PacketRing, RingOptions
from streamkit.sinks import SegmentsSink
from streamkit.sources.webcam import WebcamSource
from tests import fakes
from tests.clips import clip
from tests.recording.making import numbers_of, packets_of, pictures_of

START = datetime(2026, 3, 29, 0, 59, 50, tzinfo=UTC).timestamp()
"""Ten seconds before a full minute."""


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mp4"))


def index(folder: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (folder / "segments.jsonl").read_text().splitlines())
    return [line for line in lines if line.get("end")]


def retimed(packets: list[Packet], begin: float = START) -> list[Packet]:
    """The same, as if the first was captured at ``begin``."""
    shift = begin - packets[0].at
    return [replace(packet, at=packet.at + shift) for packet in packets]


def recorded(folder: Path, packets: list[Packet], pieces: int = 7, **options: Any) -> None:
    """Put packets into a ring, a few at a time, beside a sink that follows it."""
    ring, sink = PacketRing(RingOptions(seconds=600)), SegmentsSink(folder, **options)
    sink.follow(0, lambda: "gate", ring)
    for start in range(0, len(packets), pieces):
        for packet in packets[start : start + pieces]:
            ring.put(packet)
        sink.tick()
        sink.follow(0, lambda: "gate", ring)  # once more, as when a document is reloaded
    sink.close()


def samples(paths: list[Path]) -> list[tuple[int, int]]:
    """Bytes of the slices, and distance in time, of all packets in these files."""
    found = []
    for path in paths:
        with av.open(str(path)) as container:
            for packet in container.demux(video=0):
                if packet.size:
                    found.append((packet.size, int(packet.is_keyframe)))
    return found


@pytest.mark.parametrize("b_frames", [0, 2])
def test_files_are_cut_at_key_frames_by_the_clock_and_nothing_is_lost(
    tmp_path: Path, b_frames: int
) -> None:
    source = clip(tmp_path / "in.mp4", frames=500, gop=20, b_frames=b_frames)
    packets = retimed(list(packets_of(source)))

    recorded(tmp_path / "out", packets, every=5)

    # At 25 a second a key frame comes each 0.8 s: the first at or after each multiple of 5 s.
    assert [path.name[9:19] for path in files(tmp_path / "out")] == [
        "005950.000", "005955.600", "010000.400", "010005.200",
    ]  # fmt: skip
    assert numbers_of(files(tmp_path / "out")) == list(range(500))
    assert len(samples(files(tmp_path / "out"))) == 500
    for path in files(tmp_path / "out"):
        times = [at for at, _ in pictures_of(path)]
        assert times == pytest.approx([n / 25 for n in range(len(times))], abs=0.001)


def test_the_index_tells_of_each_file(tmp_path: Path) -> None:
    packets = retimed(list(packets_of(clip(tmp_path / "in.mp4", frames=100))))

    recorded(tmp_path / "out", packets, every=2)

    lines = index(tmp_path / "out")
    assert [line["start"] for line in lines] == [
        "2026-03-29T00:59:50.000Z", "2026-03-29T00:59:52.000Z",
    ]  # fmt: skip
    assert lines[0]["end"] == "2026-03-29T00:59:51.960Z"
    assert [line["packets"] for line in lines] == [50, 50]
    for line in lines:
        assert (tmp_path / "out" / line["file"]).stat().st_size == line["bytes"]
        assert (line["stream"], line["codec"]) == ("gate", "h264")


def test_another_size_or_connection_begins_another_file(tmp_path: Path) -> None:
    small = retimed(list(packets_of(clip(tmp_path / "s.mp4", frames=30, gop=10))))
    large = packets_of(clip(tmp_path / "l.mp4", frames=30, gop=10, size=(640, 360)))
    again = packets_of(clip(tmp_path / "a.mp4", frames=30, gop=10, codec="libx265"))
    packets = [
        *small,
        *retimed(list(large), START + 1.2),
        *retimed(list(again), START + 2.4),
    ]

    recorded(tmp_path / "out", packets, every=60)

    sizes = []
    for path in files(tmp_path / "out"):
        with av.open(str(path)) as container:
            video = container.streams.video[0]
            sizes.append((video.name, video.codec_context.codec_tag, video.width))
        assert [number for _, number in pictures_of(path)] == list(range(30))
    assert sizes == [("h264", "avc1", 320), ("h264", "avc1", 640), ("hevc", "hvc1", 320)]


def test_what_is_evicted_before_it_is_written_is_counted(tmp_path: Path) -> None:
    packets = retimed(list(packets_of(clip(tmp_path / "in.mp4", frames=200, gop=10))))
    ring, sink = PacketRing(RingOptions(seconds=1)), SegmentsSink(tmp_path / "out")
    sink.follow(0, lambda: "gate", ring)
    for packet in packets[:15]:
        ring.put(packet)
    sink.tick()

    for packet in packets[15:]:
        ring.put(packet)
    sink.close()

    found = numbers_of(files(tmp_path / "out"))
    assert sink.stats()["missed"] == 200 - len(found)
    assert found == [*range(15), *range(200 - len(found) + 15, 200)]


def test_what_cannot_be_written_costs_itself_and_no_more(tmp_path: Path) -> None:
    packets = retimed(list(packets_of(clip(tmp_path / "in.mp4", frames=100, gop=10))))
    ring, sink = PacketRing(RingOptions()), SegmentsSink(tmp_path / "out")
    sink.follow(0, lambda: "gate", ring)
    (tmp_path / "out" / "gate").write_text("a file where the folder should be")
    for packet in packets[:45]:
        ring.put(packet)
    with pytest.raises(SinkError, match="gate"):
        sink.tick()
    (tmp_path / "out" / "gate").unlink()

    for packet in packets[45:]:
        ring.put(packet)
    sink.close()

    assert numbers_of(files(tmp_path / "out")) == list(range(50, 100))
    assert sink.stats()["missed"] == 50


def test_old_files_are_deleted_while_it_goes_on(tmp_path: Path) -> None:
    packets = retimed(list(packets_of(clip(tmp_path / "in.mp4", frames=300, gop=25))))

    recorded(tmp_path / "out", packets, every=1, keep_gb=1e-9)
    SegmentsSink(tmp_path / "out", keep_gb=1e-9).tick()

    assert files(tmp_path / "out") == []


KILLED = """
import os, sys
from pathlib import Path
from streamkit.recording.ring import PacketRing, RingOptions
from streamkit.sinks import SegmentsSink
from streamkit.sources.webcam import WebcamSource
from tests.recording.making import packets_of
from tests.sinks.test_segments import retimed
ring, sink = PacketRing(RingOptions()), SegmentsSink(sys.argv[2], every=60)
sink.follow(0, lambda: "gate", ring)
for packet in retimed(list(packets_of(Path(sys.argv[1])))):
    ring.put(packet)
    sink.tick()
os.kill(os.getpid(), 9)
"""


def test_after_a_kill_the_last_file_plays_and_the_recording_goes_on(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", frames=200, gop=10)
    done = subprocess.run([sys.executable, "-c", KILLED, str(source), str(tmp_path / "out")])
    assert done.returncode == -signal.SIGKILL
    # All but the group of pictures that was being written, and perhaps the one before it.
    assert numbers_of(files(tmp_path / "out"))[:180] == list(range(180))

    packets = retimed(list(packets_of(source)), START + 20)
    recorded(tmp_path / "out", packets)

    assert len(files(tmp_path / "out")) == 2
    cut_off, *_ = index(tmp_path / "out")
    assert cut_off["cut_off"]
    assert cut_off["end"] >= "2026-03-29T00:59:57"


def seen(frames: list[VideoFrame]) -> list[Any]:
    return [None for _ in frames]


def test_a_file_is_recorded_whole_beside_a_model(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", frames=250)
    pipeline = InferencePipeline.init_with_custom_logic(
        str(source), seen, sinks=[SegmentsSink(tmp_path / "out", every=3)],
        stream={"keep_packets": True, "name": "gate"},
    )  # fmt: skip
    pipeline.start()
    pipeline.join()

    assert sorted(numbers_of(files(tmp_path / "out"))) == list(range(250))
    assert {path.parent.name for path in files(tmp_path / "out")} == {"gate"}
    assert pipeline.stats()["sinks"][0]["missed"] == 0
    assert pipeline.stats()["streams"][0]["packets"]["packets"] > 0


def test_it_records_though_no_result_ever_comes(tmp_path: Path) -> None:
    """The model hangs; the camera is recorded all the same."""
    source, free = clip(tmp_path / "in.mp4", frames=50, gop=5), threading.Event()

    def stuck(frames: list[VideoFrame]) -> list[Any]:
        free.wait(20)
        return [None for _ in frames]

    pipeline = InferencePipeline.init_with_custom_logic(
        f"replay:{source}", stuck, sinks=[SegmentsSink(tmp_path / "out")],
        stream={"keep_packets": True},
    )  # fmt: skip
    with pipeline:
        fakes.until(lambda: sum(p.stat().st_size for p in files(tmp_path / "out")) > 8_000)
        written = pipeline.stats()["sinks"][0]["written"]
        free.set()

    assert written == 0
    assert numbers_of(files(tmp_path / "out"))[:25] == list(range(25))


def test_a_stream_without_packets_is_refused_before_anything_starts(tmp_path: Path) -> None:
    source = str(clip(tmp_path / "in.mp4", frames=10))
    sinks = [lambda: SegmentsSink(tmp_path / "out")]
    without = InferencePipeline.init_with_custom_logic(source, seen, sinks=sinks)
    with pytest.raises(ConfigError, match="keep_packets: true"):
        without.start()
    wrong: list[tuple[Any, dict[str, Any]]] = [
        (fakes.Clip(5), {}), ("synthetic:fps=5", {}), (source, {"isolated": True}),
    ]  # fmt: skip
    pipeline = InferencePipeline.init_with_custom_logic([], seen, sinks=sinks, keep_alive=True)
    for reference, options in wrong:
        with pytest.raises(ConfigError, match="annotated video"):
            pipeline.add_source(reference, keep_packets=True, **options)


def test_raw_pictures_of_a_webcam_are_refused_when_they_come(tmp_path: Path) -> None:
    webcam = WebcamSource("testsrc2=size=320x240:rate=30,realtime", form="lavfi")
    pipeline = InferencePipeline.init_with_custom_logic(
        webcam, seen, sinks=[SegmentsSink(tmp_path / "out")], stream={"keep_packets": True}
    )

    pipeline.start()
    with pytest.raises(ConfigError, match="annotated video"):
        pipeline.join()
