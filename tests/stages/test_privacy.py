"""What is private is covered for good, before anybody sees it; what cannot be is not shown."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamkit.errors import ConfigError, FrameWithheldError
from streamkit.events import Event, Evidence
from streamkit.frame import Image, VideoFrame
from streamkit.imaging.covers import Region, cover
from streamkit.masks import Masks
from streamkit.pipeline import InferencePipeline
from streamkit.predictions import Detections, Result
from streamkit.sinks import open_sink
from streamkit.stages import open_stage
from streamkit.stages.blocks import compile_blocks
from tests.clips import clip
from tests.stages.making import NAMES, START, frame, objects

SIZE = (640, 480)
WAYS = ("pixelate", "blur", "fill")


def noise(seed: int = 1, size: tuple[int, int] = SIZE) -> Image:
    """A picture in which every part is unlike every other."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def shown(at: float, *boxes: Any, image: Image | None = None, **more: Any) -> Result:
    """A frame of noise with a person in each box (left, top, right, bottom)."""
    found = Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(len(boxes), 0.9, np.float32),
        np.zeros(len(boxes), np.int64),
        NAMES,
        SIZE,
    )
    picture = noise() if image is None else image
    taken = frame(at)
    return Result(VideoFrame(picture, 1, taken.timestamp, source_id=0), found, **more)


def changed(before: Image, after: Image) -> Any:
    """(H, W): where the picture is another."""
    return (before != after).any(axis=2)


def alike(one: Image, other: Image) -> float:
    """Correlation of the detail in two pictures: what is finer than a sixth of them."""
    near = (len(one) // 6 | 1,) * 2
    fine = [p.astype(np.float64) - cv2.blur(p.astype(np.float64), near) for p in (one, other)]
    if min(p.std() for p in fine) < 1e-6:
        return 0.0
    return float(np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1])


# -- what is covered ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
def test_the_whole_object_and_a_margin_are_covered_and_nothing_else(how: str) -> None:
    result = shown(0, (200, 100, 300, 300))

    covered = open_stage("privacy", {"how": how, "margin": 0.1})(result)

    where = changed(result.frame.image, covered.image)
    assert where[80:320, 180:320].mean() > 0.95
    where[80:320, 180:320] = False
    assert not where.any()


def test_the_picture_of_the_frame_before_stays_as_it_was() -> None:
    result = shown(0, (200, 100, 300, 300))

    covered = open_stage("privacy", {})(result)

    assert np.array_equal(result.frame.image, noise())
    assert covered is not result
    assert covered.frame.frame_id == result.frame.frame_id
    assert covered.frame.timestamp == result.frame.timestamp
    assert covered.frame.captured_at == result.frame.captured_at


def test_only_the_chosen_classes_are_covered() -> None:
    found = objects((1, 0, 100, 200), (2, 2, 400, 400))
    result = Result(VideoFrame(noise(), 1, START), found)

    covered = open_stage("privacy", {"classes": ["car"], "margin": 0})(result)

    where = changed(noise(), covered.image)
    assert where[330:390, 385:415].any()
    assert not where[:300].any()


def test_a_shape_is_covered_where_the_model_tells_it_else_the_box() -> None:
    result = shown(0, (100, 100, 200, 200), (400, 100, 500, 200))
    disc = np.zeros((100, 100), np.uint8)
    cv2.circle(disc, (50, 50), 40, (1,), -1)
    nothing = np.zeros((0, 0), np.uint8)
    masks = Masks((disc, nothing), np.array([[100, 100], [0, 0]]), SIZE)
    result.prediction = replace(result.prediction, masks=masks)

    covered = open_stage("privacy", {"how": "fill", "part": "shape", "margin": 0})(result)

    where = changed(noise(), covered.image)
    assert where[120:180, 130:170].all()
    assert not where[100:106, 100:106].any()
    assert where[100:200, 400:500].mean() > 0.99


@pytest.mark.parametrize(
    ("box", "covered", "open_"),
    [
        ((200, 50, 280, 300), (slice(50, 115), slice(200, 280)), (slice(180, 300),)),  # standing
        ((200, 50, 300, 170), (slice(50, 125), slice(200, 300)), (slice(145, 170),)),  # a bust
        ((200, 50, 400, 130), (slice(50, 130), slice(200, 400)), (slice(140, 300),)),  # lying
    ],
)
def test_the_head_is_at_the_upper_end_of_who_stands_and_anywhere_in_who_lies(
    box: Any, covered: Any, open_: Any
) -> None:
    result = shown(0, box)
    stage = open_stage("privacy", {"how": "fill", "part": "head", "margin": 0})

    where = changed(noise(), stage(result).image)

    assert where[covered].mean() > 0.99
    assert not where[open_].any()


def test_a_head_reaches_as_far_as_the_points_of_the_face() -> None:
    result = shown(0, (200, 50, 280, 300))
    points = np.array([[[190, 120, 0.9], [200, 240, 0.9]]], np.float32)
    names = (("nose", "left_hip"),) * 3
    result.prediction = replace(result.prediction, keypoints=points, keypoint_names=names)
    stage = open_stage("privacy", {"how": "fill", "part": "head", "margin": 0})

    where = changed(noise(), stage(result).image)

    assert where[105:135, 175:205].all()
    assert not where[200:].any()


def test_zones_are_always_covered_and_all_but_what_is_kept() -> None:
    zone = [[[0, 0], [0.25, 0], [0.25, 1], [0, 1]]]
    left = open_stage("privacy", {"objects": False, "zones": zone, "units": "fractions"})
    keep = open_stage("privacy", {"how": "fill", "keep": zone, "units": "fractions", "margin": 0})
    person = shown(0, (20, 20, 60, 60))

    where = changed(noise(), left(shown(0)).image)
    assert where[:, :160].mean() > 0.95
    assert not where[:, 162:].any()

    where = changed(noise(), keep(person).image)
    assert where[:, 162:].mean() > 0.99
    assert where[20:60, 20:60].mean() > 0.99
    assert not where[100:, :159].any()


def test_zones_need_no_prediction() -> None:
    stage = open_stage("privacy", {"objects": False, "zones": [[[0, 0], [90, 0], [0, 90]]]})

    assert stage(Result(VideoFrame(noise(), 1, START), None)).image[0, 0].tolist() != [0, 0, 0]


def test_what_a_stage_before_drew_is_covered_too() -> None:
    result = shown(0, (200, 100, 300, 300))
    result.drawn = noise(2)

    covered = open_stage("privacy", {"how": "fill"})(result)

    assert covered.drawn is not None
    assert changed(noise(2), covered.drawn)[100:300, 200:300].all()


def test_the_neighbours_dictionaries_are_understood() -> None:
    result = shown(0, (200, 100, 300, 300))
    result.prediction = result.prediction.dict()
    stage = open_stage("privacy", {"how": "fill", "classes": ["person"]})

    assert changed(noise(), stage(result).image)[100:300, 200:300].all()


# -- while time goes by -------------------------------------------------------------------------


def test_a_missed_detection_uncovers_nothing() -> None:
    stage = open_stage("privacy", {"how": "fill", "hold": 1.0})
    stage(shown(0, (200, 100, 300, 300)))

    for at in (0.1, 0.5, 0.99):
        assert changed(noise(), stage(shown(at)).image)[100:300, 200:300].all()
    assert not changed(noise(), stage(shown(1.2)).image).any()


def test_one_of_two_neighbours_that_is_missed_stays_covered() -> None:
    stage = open_stage("privacy", {"how": "fill", "margin": 0})
    stage(shown(0, (200, 100, 300, 300), (290, 100, 390, 300)))

    where = changed(noise(), stage(shown(0.1, (202, 100, 302, 300))).image)

    assert where[100:300, 290:390].all()


def test_who_walks_on_unseen_is_covered_along_the_way() -> None:
    stage = open_stage("privacy", {"how": "fill", "margin": 0})
    for i in range(5):
        stage(shown(i * 0.1, (100 + 20 * i, 100, 160 + 20 * i, 300)))

    where = changed(noise(), stage(shown(0.6)).image)

    assert where[100:300, 180:280].mean() > 0.99  # from the last place to where he is now


def test_nothing_trails_behind_who_is_seen_all_the_time() -> None:
    stage = open_stage("privacy", {"how": "fill", "margin": 0})
    for i in range(20):
        covered = stage(shown(i * 0.1, (20 + 10 * i, 100, 80 + 10 * i, 300)))

    assert not changed(noise(), covered.image)[:, :200].any()


def test_boxes_between_inferences_are_covered_with_twice_the_margin() -> None:
    stage = open_stage("privacy", {"how": "fill", "margin": 0.1})

    where = changed(noise(), stage(shown(0, (200, 200, 300, 300), inferred=False)).image)

    assert where[182:318, 182:318].mean() > 0.99


def test_the_crowd_that_nobody_can_remember_is_not_shown() -> None:
    stage = open_stage("privacy", {"hold": 60})
    rng = np.random.default_rng(3)
    corners = [rng.uniform(0, 400, (300, 2)) for _ in range(4)]
    crowds = [shown(i * 0.1, *np.hstack((c, c + 3))) for i, c in enumerate(corners)]
    for crowd in crowds[:3]:
        stage(crowd)
    with pytest.raises(FrameWithheldError, match="more than 1000"):
        stage(crowds[3])


# -- it fails closed ----------------------------------------------------------------------------


class Broken:
    """A picture that cannot be had."""

    width, height = SIZE

    def bgr(self) -> Image:
        raise RuntimeError("no such surface")


@pytest.mark.parametrize(
    "prediction",
    [None, "nothing", {"predictions": [{"class": "person"}]}, objects(size=(320, 240))],
)
def test_without_places_to_cover_no_frame_passes(prediction: Any) -> None:
    with pytest.raises(FrameWithheldError):
        open_stage("privacy", {})(Result(VideoFrame(noise(), 1, START), prediction))


@pytest.mark.parametrize(
    "box", [(np.nan, 0, 10, 10), (0, 0, np.inf, 10), (-np.inf, -np.inf, np.inf, np.inf)]
)
def test_a_box_that_is_nowhere_is_not_shown(box: Any) -> None:
    with pytest.raises(FrameWithheldError, match="not finite"):
        open_stage("privacy", {})(shown(0, box))


@pytest.mark.parametrize("box", [(-50, -50, 60, 60), (600, 400, 1e6, 1e6), (300, 300, 200, 200)])
@pytest.mark.parametrize("how", WAYS)
def test_odd_boxes_are_covered_as_far_as_they_are_in_the_picture(box: Any, how: str) -> None:
    covered = open_stage("privacy", {"how": how})(shown(0, box))

    low, high = np.sort(np.clip(np.array(box).reshape(2, 2), 0, SIZE), axis=0).astype(int)
    where = changed(noise(), covered.image)[low[1] : high[1], low[0] : high[0]]
    assert where.mean() > 0.95


def test_a_picture_that_cannot_be_had_and_any_error_withhold_the_frame() -> None:
    stage = open_stage("privacy", {})
    with pytest.raises(FrameWithheldError, match="no such surface"):
        stage(Result(VideoFrame(Broken(), 1, START), objects()))
    torn = shown(0, (0, 0, 50, 50))
    torn.drawn = np.zeros((10, 10, 3), np.uint8)
    with pytest.raises(FrameWithheldError, match="another size"):
        stage(torn)
    grey = Result(VideoFrame(np.zeros((480, 640), np.uint8), 1, START), objects())
    with pytest.raises(FrameWithheldError, match="no picture"):
        stage(grey)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"how": "mosaic"}, "pixelate"),
        ({"part": "face"}, "head"),
        ({"objects": False}, "give zones"),
        ({"margin": -1}, "margin"),
        ({"color": "black"}, "not a colour"),
        ({"zones": [[[0, 0], [1, 1]]]}, "at least 3 points"),
        ({"classes": "person"}, "list"),
    ],
)
def test_wrong_options_name_the_choices(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        open_stage("privacy", options)


def test_a_class_that_the_model_does_not_know_is_an_error_and_no_open_door() -> None:
    with pytest.raises(ConfigError, match="knows no class face"):
        open_stage("privacy", {"classes": ["face"]})(shown(0))


# -- there is no way back -----------------------------------------------------------------------


def reachable(value: object) -> Iterator[object]:
    """Everything that can be reached from a value, but for modules and classes."""
    seen, waiting = {id(value)}, [value]
    while waiting:
        each = waiting.pop()
        yield each
        for inner in gc.get_referents(each):
            if id(inner) not in seen and not isinstance(inner, ModuleType | type):
                seen.add(id(inner))
                waiting.append(inner)


def test_nothing_that_a_sink_gets_leads_to_the_original() -> None:
    class Lazy:
        """A decoded picture."""

        width, height = SIZE

        def __init__(self) -> None:
            self.planes = noise()

        def bgr(self) -> Image:
            return self.planes

    decoded = Lazy()
    result = shown(0, (200, 100, 300, 300))
    result.frame = VideoFrame(decoded, 1, START, source_id=0)
    before = result.frame

    covered = open_stage("privacy", {})(result)

    patch = noise()[150:250, 220:280].tobytes()
    for thing in reachable(covered):
        assert thing is not decoded
        assert thing is not before
        if isinstance(thing, np.ndarray) and thing.ndim == 3 and thing.shape[0] >= 300:
            assert thing[150:250, 220:280].tobytes() != patch


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("size", [12, 40, 150, 300])
def test_no_detail_is_left(how: str, size: int) -> None:
    """Also of what is smooth, like real pictures."""
    for seed in range(2):
        smooth: Any = cv2.GaussianBlur(noise(seed, (size, size)), (0, 0), size / 20)
        original: Image = cv2.normalize(smooth, smooth.copy(), 0, 255, cv2.NORM_MINMAX)
        picture = original.copy()

        cover(picture, Region(0, 0, size, size), how)  # type: ignore[arg-type]

        assert abs(alike(original, picture)) < 0.2
        assert len(np.unique(original[..., 0])) > 5


def face(person: int, photo: int, size: int = 96) -> Image:
    """Somebody's face: eyes, nose, mouth and hair are theirs, the light is that of the photo."""
    who, now = np.random.default_rng(person), np.random.default_rng(1000 + photo)
    canvas = np.full((size, size, 3), 120, np.uint8)
    middle = np.array([size / 2, size / 2]) + now.normal(0, 1, 2)

    def part(low: float, high: float) -> float:
        return float(who.uniform(low, high)) * size

    def oval(x: float, y: float, w: float, h: float, tone: int) -> None:
        for side in (-1, 1):
            at = (int(middle[0] + side * x), int(middle[1] + y))
            cv2.ellipse(canvas, at, (int(w) + 1, int(h) + 1), 0, 0, 360, (tone,) * 3, -1)

    oval(0, 0, part(0.3, 0.38), part(0.38, 0.46), 170)
    oval(part(0.1, 0.22), -part(0.05, 0.2), part(0.03, 0.09), part(0.02, 0.06), 60)
    oval(0, part(0.0, 0.1), part(0.02, 0.06), part(0.05, 0.14), 130)
    oval(0, part(0.18, 0.3), part(0.06, 0.2), part(0.01, 0.05), 80)
    light = 1 + now.normal(0, 0.06)
    return np.clip(canvas * light + now.normal(0, 4, canvas.shape), 0, 255).astype(np.uint8)


def recognised(how: str | None) -> float:
    """Share of 24 people that a matcher (the best correlation) knows again from another photo,
    when the photos it compares are covered in the same way."""

    def seen(person: int, photo: int) -> Any:
        picture = face(person, photo)
        if how is not None:
            cover(picture, Region(0, 0, 96, 96), how)  # type: ignore[arg-type]
        pixels = picture.astype(np.float32).ravel()
        pixels -= pixels.mean()
        return pixels / (np.linalg.norm(pixels) + 1e-9)

    known = np.stack([seen(person, person) for person in range(24)])
    probes = np.stack([seen(person, 100 + person) for person in range(24)])
    return float(np.mean((probes @ known.T).argmax(axis=1) == np.arange(24)))


@pytest.mark.parametrize("how", WAYS)
def test_two_faces_are_not_told_apart(how: str) -> None:
    assert recognised(None) > 0.9, "the matcher works on what is not covered"
    assert recognised(how) < 0.25


def test_many_frames_of_one_face_bring_nothing_back() -> None:
    """Blocks that follow an object over a fixed grid would add up to its picture."""
    original = face(3, 3)
    total = np.zeros((96, 96, 3))
    for i in range(64):
        picture = np.full((200, 200, 3), 90, np.uint8)
        x, y = i % 8, i // 8
        picture[40 + y : 136 + y, 40 + x : 136 + x] = original
        cover(picture, Region(40 + x, 40 + y, 136 + x, 136 + y), "pixelate")
        total += picture[40 + y : 136 + y, 40 + x : 136 + x]

    assert abs(alike(original, (total / 64).astype(np.uint8))) < 0.2


# -- in a pipeline ------------------------------------------------------------------------------


def people(frames: Any) -> list[Any]:
    """Somebody in the middle; every fourth frame has no prediction that could be used."""
    return [
        None
        if frame.frame_id % 4 == 0
        else Detections(
            np.array([[60, 40, 260, 200]], np.float32), np.ones(1, np.float32),
            np.zeros(1, np.int64), NAMES, frame.size,
        )
        for frame in frames
    ]  # fmt: skip


def test_sinks_and_callbacks_see_covered_pictures_only_and_the_account_says_what_was_withheld(
    tmp_path: Path,
) -> None:
    seen: list[Image] = []
    memory = open_sink("memory", {"queue_size": 100})
    pipeline = InferencePipeline.init_with_custom_logic(
        str(clip(tmp_path / "a.mp4", frames=20)),
        on_video_frame=people,
        on_prediction=lambda _, frame: seen.append(frame.image),
        stages=[lambda: open_stage("privacy", {"how": "fill", "color": "#0000FF"})],
        sinks=[
            memory,
            lambda: open_sink("callback", {"function": lambda r: seen.append(r.image)}),
            lambda: open_sink("video", {"path": str(tmp_path / "out.mp4")}),
        ],
    )
    pipeline.start()
    pipeline.join()

    (row,) = pipeline.stats()["streams"]
    assert (row["captured"], row["delivered"], row["dropped"]) == (20, 15, {"redacted": 5})
    kept = [memory.consume_prediction()[1][0].image for _ in range(15)]  # type: ignore[attr-defined]
    assert len(seen) == 30
    assert all((image[50:190, 70:250] == (255, 0, 0)).all() for image in seen + kept)
    with av.open(str(tmp_path / "out.mp4")) as written:
        for picture in written.decode(video=0):
            blue = picture.to_ndarray(format="bgr24")[60:180, 80:240]
            assert blue[..., 0].min() > 200
            assert blue[..., 2].max() < 60


def test_carried_frames_are_covered(tmp_path: Path) -> None:
    seen: list[Result] = []
    pipeline = InferencePipeline.init_with_custom_logic(
        str(clip(tmp_path / "a.mp4", frames=20)),
        on_video_frame=lambda frames: people([f for f in frames if f.frame_id % 4 or True]),
        on_result=seen.append,
        stages=[lambda: open_stage("privacy", {"how": "fill"})],
        stream={"infer_every": 3},
    )
    pipeline.start()
    pipeline.join()

    assert {result.inferred for result in seen} == {True, False}
    assert all((r.image[50:190, 70:250] == r.image[100, 100]).all() for r in seen)


class Ringed:
    """A sink that is told of the rings of encoded packets."""

    def __init__(self) -> None:
        self.rings: list[object] = []

    def follow(self, _source_id: int, _name: Any, packets: object) -> None:
        self.rings.append(packets)

    def write(self, result: Result) -> None:
        self.rings.append(result.frame.packets)

    def close(self) -> None: ...


@pytest.mark.parametrize("private", [False, True])
def test_no_sink_gets_the_packets_of_a_stream_with_privacy(tmp_path: Path, private: bool) -> None:
    sink = Ringed()
    pipeline = InferencePipeline.init_with_custom_logic(
        str(clip(tmp_path / "a.mp4", frames=8)),
        on_video_frame=lambda frames: people([f for f in frames if f.frame_id % 4 or True]),
        stages=[lambda: open_stage("privacy", {})] if private else [],
        sinks=[sink],
        stream={"keep_packets": True},
    )
    pipeline.start()
    pipeline.join()

    assert len(sink.rings) > 6
    assert {ring is None for ring in sink.rings} == {private}


def test_pictures_are_not_put_on_disk_before_they_are_covered() -> None:
    steps: list[Any] = [{"evidence": {"folder": "there"}}, {"privacy": {"classes": ["person"]}}]

    with pytest.raises(ConfigError, match="'evidence' writes pictures that 'privacy' has not"):
        compile_blocks(steps, streams=True)
    compile_blocks(steps[::-1], streams=True)

    shot = Evidence("snapshot", "there.jpg")
    result = shown(0)
    result.events = (Event("line.in", 0, "line", START, 1, evidence=(shot,)),)
    with pytest.raises(ConfigError, match="before 'privacy'"):
        open_stage("privacy", {})(result)


def test_events_of_a_withheld_frame_come_with_the_next_one(tmp_path: Path) -> None:
    class Alarm:
        """An event for each frame."""

        def __call__(self, result: Result) -> Result:
            frame = result.frame
            event = Event("alarm", 0, "it", frame.timestamp, frame.frame_id)
            result.events = (*result.events, event)
            return result

    told: list[int] = []
    pipeline = InferencePipeline.init_with_custom_logic(
        str(clip(tmp_path / "a.mp4", frames=10)),
        on_video_frame=people,
        on_result=lambda result: told.extend(event.frame_id for event in result.events),
        stages=[Alarm, lambda: open_stage("privacy", {})],
    )
    pipeline.start()
    pipeline.join()

    assert told == list(range(1, 11))


def test_the_time_of_a_covered_frame_is_the_originals() -> None:
    taken = datetime(2026, 5, 1, tzinfo=UTC)
    original = VideoFrame(noise(), 7, taken, 25.0, 24.9, 3, False, uncertainty=0.1, captured_at=9.0)

    other = original.showing(noise(2))

    for name in ("frame_id", "timestamp", "fps", "measured_fps", "source_id", "clock",
                 "comes_from_video_file", "uncertainty", "captured_at"):  # fmt: skip
        assert getattr(other, name) == getattr(original, name)
    assert np.array_equal(other.image, noise(2))


def test_who_has_no_track_is_covered_too() -> None:
    """A tracker leaves out whom it is not sure of; the picture does not."""
    result = shown(0, (200, 100, 300, 300))
    result.prediction = replace(result.prediction, confidence=np.full(1, 0.2, np.float32))

    tracked = open_stage("track", {})(result)
    covered = open_stage("privacy", {"classes": ["person"]})(tracked)

    assert len(covered.prediction) == 0
    assert changed(noise(), covered.image)[100:300, 200:300].mean() > 0.95


def test_a_dictionary_about_a_picture_of_another_size_does_not_tell_what_to_cover() -> None:
    result = shown(0, (200, 100, 300, 300))
    wire = result.prediction.dict()
    wire["image"] = {"width": 1280, "height": 960}
    result.prediction = wire
    with pytest.raises(FrameWithheldError, match="another size"):
        open_stage("privacy", {})(result)
