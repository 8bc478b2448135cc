from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamkit.chaos.camera import Camera
from streamkit.chaos.lab import Lab
from streamkit.errors import ConfigError
from streamkit.frame import Plane
from streamkit.sources import open_source
from streamkit.sources.base import Thrifty
from streamkit.sources.bitstream import H264, Facts, Need, nal_units, syntax_of
from streamkit.sources.decoder import DecodeOptions, Decoder, Demand
from streamkit.sources.decoding import DecodedPicture, broadcast
from streamkit.sources.economy import Economy, Effort
from streamkit.sources.numbered import decode_number
from tests.cameras import camera
from tests.clips import clip, numbers
from tests.sources.lossy import Fault, received

CODECS = [("libx264", 0), ("libx264", 2), ("libx265", 0), ("libx265", 2)]


def made(folder: Path, codec: str = "libx264", **given: Any) -> Path:
    suffix = "mov" if codec == "mjpeg" else "mp4"
    return clip(folder / f"{codec}.{suffix}", codec=codec, **{"frames": 250, **given})


@dataclass
class Seen:
    """What came out of a decoder."""

    demand: Demand
    numbers: list[int] = field(default_factory=list)
    concealed: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    motion: list[float | None] = field(default_factory=list)
    lag: int = 0
    """By how many pictures they came out later than they went in, at most."""


def through(path: Path, demand: Demand, changes: dict[int, float | None] | None = None) -> Seen:
    """The whole of ``path``; ``changes`` is the wanted rate from a packet's number on."""
    seen = Seen(demand)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = Decoder(stream, demand)
        for index, packet in enumerate(container.demux(stream)):
            if changes and index in changes:
                demand.wanted = changes[index]
            for frame, concealed in decoder.pictures(packet):
                picture = DecodedPicture(frame)
                number = decode_number(picture.bgr())
                seen.numbers.append(number)
                seen.concealed += [number] if concealed else []
                seen.times.append(frame.time)
                seen.motion.append(picture.motion)
                seen.lag = max(seen.lag, index - number if packet.size else 0)
    return seen


def asked(decode: Any, wanted: float | None = None) -> Demand:
    return Demand(DecodeOptions(decode=decode), wanted)


# -- what is decoded -----------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "b_frames"), [*CODECS, ("mjpeg", 0)])
def test_everything_is_decoded_unless_less_is_wanted(
    tmp_path: Path, codec: str, b_frames: int
) -> None:
    path = made(tmp_path, codec, frames=60, b_frames=b_frames)
    for demand in (asked("all"), asked("auto"), asked("auto", 25.0)):
        seen = through(path, demand)
        assert seen.numbers == list(range(60))
        assert seen.concealed == []
        assert demand.as_dict()["left_out"] == 0


@pytest.mark.parametrize(("codec", "b_frames"), CODECS)
def test_key_frames_alone_come_out_at_once_and_whole(
    tmp_path: Path, codec: str, b_frames: int
) -> None:
    seen = through(made(tmp_path, codec, b_frames=b_frames), asked("key"))
    assert seen.numbers == list(range(0, 250, 25))
    assert seen.times == pytest.approx([number / 25 for number in seen.numbers], abs=0.081)
    assert seen.concealed == []
    assert seen.lag == 0
    told = seen.demand.as_dict()
    assert (told["decoded"], told["left_out"], told["mode"]) == (10, 240, "key")


@pytest.mark.parametrize("missing", [1, 5, 9])
def test_no_picture_after_a_gap_is_held_back_and_none_passes_for_whole(
    tmp_path: Path, missing: int
) -> None:
    """Pictures are numbered modulo 16: FFmpeg, where a gap goes round, lets none out up to the next
    key frame."""
    path = made(tmp_path, frames=36, gop=24)
    for first in range(1, 24 - missing):
        gone = range(first, first + missing)
        demand = asked("all")
        with av.open(str(path)) as container:
            decoder = Decoder(container.streams.video[0], demand)
            packets = [p for i, p in enumerate(container.demux(video=0)) if i not in gone]
            shown = [concealed for packet in packets for _, concealed in decoder.pictures(packet)]
        assert shown == [False] * first + [True] * (24 - first - missing) + [False] * 12, first


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_what_nobody_refers_to_is_left_out(tmp_path: Path, codec: str) -> None:
    path = made(tmp_path, codec, b_frames=2)
    seen = through(path, asked("reference"))
    assert len(seen.numbers) == 170
    assert seen.numbers == sorted(seen.numbers)
    assert set(range(0, 250, 25)) <= set(seen.numbers)
    assert seen.concealed == []


@pytest.mark.parametrize(
    ("wanted", "mode"), [(0.5, "key"), (1.0, "key"), (1.3, "reference"), (8.0, "reference")]
)
def test_auto_takes_the_least_that_gives_the_wanted_rate(
    tmp_path: Path, wanted: float, mode: str
) -> None:
    seen = through(made(tmp_path, b_frames=2), asked("auto", wanted))
    told = seen.demand.as_dict()
    assert told["mode"] == mode
    assert f"{wanted:g} fps are wanted" in told["reason"]
    assert told["left_out"] > 60
    assert told["packets"] == told["left_out"] + told["decoded"] == 250


def test_auto_takes_everything_where_less_is_too_little(tmp_path: Path) -> None:
    seen = through(made(tmp_path), asked("auto", 5.0))
    assert seen.numbers == list(range(250))
    assert seen.demand.effort is Effort.ALL
    assert "key frames are up to 1 s apart" in seen.demand.reason


def test_pictures_that_all_stand_alone_are_thinned_before_they_are_decoded(tmp_path: Path) -> None:
    seen = through(made(tmp_path, "mjpeg"), asked("auto", 5.0))
    assert 50 <= len(seen.numbers) <= 70
    assert seen.numbers[10:14] == [n for n in range(seen.numbers[10], 250, 4)][:4]


@pytest.mark.parametrize(("codec", "b_frames"), CODECS)
def test_when_more_is_wanted_again_it_goes_on_at_a_key_frame(
    tmp_path: Path, codec: str, b_frames: int
) -> None:
    path = made(tmp_path, codec, b_frames=b_frames)
    seen = through(path, asked("auto", 1.0), {160: None})
    at = seen.numbers.index(175)
    assert seen.numbers[at - 2 : at] == [125, 150]
    assert seen.numbers[at:] == list(range(175, 250))
    assert seen.concealed == []
    assert seen.demand.reason == "every picture is wanted"


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_what_nobody_refers_to_is_decoded_again_at_once(tmp_path: Path, codec: str) -> None:
    seen = through(made(tmp_path, codec, b_frames=2), asked("auto", 8.0), {160: None})
    assert len(seen.numbers) < 220
    late = [number for number in seen.numbers if number >= 164]
    assert late == list(range(164, 250)), "long before the key frame at 175"
    assert seen.concealed == []


def test_an_effort_is_given_up_when_key_frames_become_rare() -> None:
    economy = Economy()
    for number in range(60):
        economy.note(Need.KEY if number % 10 == 0 else Need.REFERENCE, number / 10)
    economy.effort, _ = economy.choice(1.0)
    assert economy.effort is Effort.KEY
    economy.note(Need.REFERENCE, 6.4)
    assert economy.choice(1.0)[0] is Effort.KEY, "a little late is not too late"
    economy.note(Need.REFERENCE, 6.6)
    assert economy.choice(1.0)[0] is Effort.ALL


def test_a_clock_that_was_set_is_no_gap() -> None:
    economy = Economy()
    for number in range(60):
        economy.note(Need.KEY, number / 10)
    for number in range(60):
        economy.note(Need.KEY, 1e6 + number / 10)
    assert economy.choice(5.0)[0] is Effort.KEY
    economy.note(Need.KEY, 3.0)
    assert economy.choice(5.0) == (Effort.ALL, "its rhythm is not known yet")


def test_a_clip_that_begins_again_goes_on(tmp_path: Path) -> None:
    path = made(tmp_path, frames=30, b_frames=2)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder, seen = Decoder(stream, Demand()), list[int]()
        for _ in range(3):
            for packet in container.demux(stream):
                shown = list(decoder.pictures(packet))
                assert not any(concealed for _, concealed in shown)
                seen += [decode_number(DecodedPicture(frame).bgr()) for frame, _ in shown]
            container.seek(0)
    assert seen == [*range(30)] * 3


def test_wrong_options_say_what_is_right() -> None:
    with pytest.raises(ConfigError, match="auto, all, reference, key"):
        DecodeOptions(decode="most")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="from 1 to 64"):
        DecodeOptions(threads=0)


def test_motion_is_told_where_it_was_asked_for(tmp_path: Path) -> None:
    path = made(tmp_path, frames=30)
    assert set(through(path, Demand()).motion) == {None}
    told = through(path, Demand(DecodeOptions(motion_vectors=True))).motion
    assert told[0] is told[25] is None, "a key frame has no vectors"
    moved = [part for part in told if part is not None]
    assert len(moved) == 28
    assert all(0 < part < 0.3 for part in moved[1:20])


def test_nothing_moves_in_a_picture_that_stands_still(tmp_path: Path) -> None:
    path = tmp_path / "still.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        grey = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "bgr24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = Decoder(stream, Demand(DecodeOptions(motion_vectors=True)))
        shown = [s for packet in container.demux(stream) for s in decoder.pictures(packet)]
    parts = [DecodedPicture(frame).motion for frame, _ in shown]
    assert [part for part in parts if part is not None] == [0.0] * (len(parts) - 1)


# -- what packets say ----------------------------------------------------------------------------


def packets_of(path: Path) -> tuple[bytes, list[tuple[bytes, bool]]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size]
        extradata = stream.codec_context.extradata or b""
        return extradata, [(bytes(packet), packet.is_keyframe) for packet in packets]


def test_a_reference_that_never_came_is_noticed(tmp_path: Path) -> None:
    extradata, packets = packets_of(made(tmp_path, frames=60, b_frames=2))
    needs = [H264(extradata).facts(*packet).need for packet in packets]
    for lost, need in enumerate(needs[:-1]):
        syntax = H264(extradata)
        facts = [syntax.facts(*p) for index, p in enumerate(packets) if index != lost]
        after = next((i for i in range(lost + 1, 60) if needs[i] is not Need.DISPOSABLE), None)
        expected = need is Need.REFERENCE and after is not None and needs[after] is Need.REFERENCE
        assert any(fact.gap for fact in facts) >= expected, lost
        if need is Need.DISPOSABLE:
            assert not any(fact.gap for fact in facts)


def test_no_packet_is_too_damaged_to_be_looked_at(tmp_path: Path) -> None:
    rng = random.Random(1)
    for codec, name in (("libx264", "h264"), ("libx265", "hevc")):
        extradata, packets = packets_of(made(tmp_path, codec, frames=5))
        for _ in range(300):
            data = bytearray(rng.choice(packets)[0][: rng.randrange(60)])
            for _ in range(rng.randrange(6)):
                if data:
                    data[rng.randrange(len(data))] = rng.randrange(256)
            head = bytearray(extradata[: rng.randrange(len(extradata))])
            assert isinstance(syntax_of(name, bytes(head)).facts(bytes(data), False), Facts)


def test_nal_units_are_found_after_start_codes_and_lengths() -> None:
    assert list(nal_units(b"\0\0\0\1ab\0\0\1c", 0)) == [b"ab", b"c"]
    assert list(nal_units(b"\0\2ab\0\1c", 2)) == [b"ab", b"c"]
    assert list(nal_units(b"\0\0\0\x09ab", 4)) == [b"ab"]
    assert list(nal_units(b"", 0)) == list(nal_units(b"\0\0", 4)) == []


# -- damage --------------------------------------------------------------------------------------


@dataclass
class Watched:
    """Every picture of a stream that was sent over a bad network, against the true ones."""

    pictures: int = 0
    damaged: int = 0
    concealed: int = 0
    passed_off: list[int] = field(default_factory=list)
    """Damaged, and not told."""


def watched(path: Path, folder: Path, fault: Fault) -> Watched:
    true = list(_planes(path))
    seen = Watched()
    with received(path, folder, fault) as container:
        stream = container.streams.video[0]
        captures = broadcast(container.demux(), stream, threading.Event())
        with suppress(av.error.ExitError):
            for capture in captures:
                picture = capture.picture
                assert isinstance(picture, DecodedPicture)
                differ = [np.array_equal(picture.luma, plane) for plane in true]
                whole = any(differ)
                seen.pictures += 1
                seen.damaged += not whole
                seen.concealed += capture.concealed
                if not whole and not capture.concealed:
                    seen.passed_off.append(seen.pictures)
    return seen


def _planes(path: Path) -> Iterator[Plane]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield DecodedPicture(frame).luma.copy()


def noisy(folder: Path, codec: str, b_frames: int = 0) -> Path:
    """Pictures of which each fills several RTP packets."""
    path, rng = folder / "noisy.mp4", np.random.default_rng(1)
    base = rng.integers(0, 255, (300, 400), np.uint8)
    quiet = {"x265-params": "log-level=none:pools=1:frame-threads=1:keyint=20"}
    one_slice = {"preset": "veryfast", "x264-params": "slices=1:sliced-threads=0:scenecut=0"}
    with av.open(str(path), "w") as container:
        options = one_slice if codec == "libx264" else {"preset": "ultrafast", **quiet}
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        stream.gop_size, stream.max_b_frames = 20, b_frames
        for number in range(120):
            image = np.kron(base[number // 2 :, number:][:32, :40], np.ones((4, 4), np.uint8))
            picture = av.VideoFrame.from_ndarray(image[:128, :160].copy(), "gray")
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", 0), ("libx264", 2), ("libx265", 0)])
def test_no_damaged_picture_is_passed_off_as_whole(
    tmp_path: Path, codec: str, b_frames: int
) -> None:
    rng = random.Random(3)
    seen = watched(
        noisy(tmp_path, codec, b_frames),
        tmp_path,
        lambda _, picture: "drop" if picture in (13, 35, 52, 95) and rng.random() < 0.6 else None,
    )
    assert seen.pictures > 90
    assert seen.damaged > 1
    assert seen.passed_off == []
    assert seen.concealed < seen.pictures - 20, "key frames begin anew"


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("what", [None, "late", "again"])
def test_what_comes_late_or_twice_is_no_damage(
    tmp_path: Path, codec: str, what: str | None
) -> None:
    path = noisy(tmp_path, codec)
    seen = watched(path, tmp_path, lambda number, _: what if number % 7 == 3 else None)
    assert seen.pictures > 110
    assert (seen.damaged, seen.concealed) == (0, 0)


def test_damage_ends_at_the_next_key_frame(tmp_path: Path) -> None:
    path = made(tmp_path, frames=75)
    with av.open(str(path)) as container:
        stream, whole, hidden = container.streams.video[0], list[int](), 0
        decoder = Decoder(stream, Demand())
        for index, packet in enumerate(container.demux(stream)):
            for frame, concealed in decoder.pictures(packet) if index != 30 else ():
                hidden += concealed
                whole += [] if concealed else [decode_number(DecodedPicture(frame).bgr())]
    assert whole == [*range(30), *range(50, 75)]
    assert hidden == 19


# -- a real camera -------------------------------------------------------------------------------


@pytest.mark.rtsp
def test_a_camera_decodes_no_more_than_is_wanted(tmp_path: Path) -> None:
    path = made(tmp_path, frames=100, gop=10)
    with camera(path, real_fps=50) as cam:
        source = open_source(cam.url)
        assert isinstance(source, Thrifty)
        source.want(5.0)
        with closing(source.read()) as captures:
            taken = numbers(islice(captures, 60))
    assert {b - a for a, b in zip(taken[-8:-1], taken[-7:], strict=True)} <= {10, -90}
    told = source.decoding  # type: ignore[attr-defined]
    assert told["mode"] == "key"
    assert told["left_out"] > 50
    assert told["concealed"] == 0


@pytest.mark.rtsp
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_whose_packets_get_lost_is_never_passed_off_as_whole(
    tmp_path: Path, transport: str
) -> None:
    path = made(tmp_path, frames=100, size=(640, 480))
    with Lab([Camera(name="bad", clip=path)], seed=1) as lab:
        source: Any = open_source(lab["bad"].url, transport=transport)
        with closing(source.read()) as captures:
            assert not any(capture.concealed for capture in islice(captures, 10))
            lab["bad"].fault("drop_packets", percent=2)
            taken = list(islice(captures, 80))
    whole = [capture for capture in taken if not capture.concealed]
    assert 0 < len(whole) < 80
    assert len(numbers(whole)) == len(whole), "each can be read"
    assert source.decoding["concealed"] == 80 - len(whole)


@pytest.mark.rtsp
def test_the_substream_is_read_where_it_suffices(tmp_path: Path) -> None:
    main = clip(tmp_path / "main.mp4", size=(640, 480), fps=30)
    small = clip(tmp_path / "small.mp4", size=(320, 240), fps=10)
    secret = {"auth": "digest", "user": "user", "password": "p@ss"}
    with camera(main, **secret) as one, camera(small, **secret) as two:  # type: ignore[arg-type]
        source: Any = open_source(one.url, substream=two.open_url)
        cases = [(None, 0, "main"), (5.0, 0, "substream"), (5.0, 400, "main"), (20.0, 0, "main")]
        for wanted, min_width, stream in cases:
            source = open_source(one.url, substream=two.open_url, min_width=min_width)
            source.want(wanted)
            with closing(source.read()) as captures:
                assert next(captures).picture.width == (640 if stream == "main" else 320)
            assert source.decoding["stream"] == stream, source.decoding
            assert "p@ss" not in str(source.decoding) + repr(source._small)
        preferred: Any = open_source(one.url, substream=two.open_url, prefer="substream")
        with closing(preferred.read()) as captures:
            assert next(captures).picture.width == 320


@pytest.mark.rtsp
def test_the_main_stream_takes_over_when_more_is_wanted_or_the_substream_is_gone(
    tmp_path: Path,
) -> None:
    main = clip(tmp_path / "main.mp4", size=(640, 480), fps=30)
    small = clip(tmp_path / "small.mp4", size=(320, 240), fps=10)
    with camera(main) as one, camera(small) as two:
        source: Any = open_source(one.url, substream=two.url)
        source.want(5.0)
        with closing(source.read()) as captures:
            assert next(captures).picture.width == 320
            source.want(None)
            widths = [capture.picture.width for capture in islice(captures, 8)]
        assert widths[-1] == 640
        assert source.decoding["stream_reason"] == "every picture is wanted"
        missing: Any = open_source(one.url, substream=two.url + "s")
        missing.want(5.0)
        with closing(missing.read()) as captures:
            assert next(captures).picture.width == 640
        assert "STREAM_NOT_FOUND" in missing.decoding["stream_reason"]


def test_a_substream_has_to_be_one() -> None:
    for wrong in ({"prefer": "substream"}, {"substream": "http://127.0.0.1/x"}, {"min_width": -1}):
        with pytest.raises(ConfigError):
            open_source("rtsp://127.0.0.1/x", **wrong)
