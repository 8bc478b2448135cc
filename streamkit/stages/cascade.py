"""Asks a second model about the objects of the first: what they are, hold, or how they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np

from streamkit.asking import Answer, ModelAccess, ModelId, OpenModel, Unanswered
from streamkit.errors import ConfigError
from streamkit.frame import VideoFrame
from streamkit.predictions import (
    Classification,
    Detections,
    Ints,
    MultiLabelClassification,
    Prediction,
    Result,
)
from streamkit.stages.attach import reclassified, with_attributes, with_children, with_pose
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.crops import check_deadline, crops, cut, patience
from streamkit.stages.memory import Memory, StreamTime
from streamkit.stages.opinion import Opinion
from streamkit.stages.seen import ids, names_of, of_classes, tell, tracks
from streamkit.stages.track import origins
from streamkit.stages.within import Within

_LEAST: Final = 2
"""Pixels that a crop must have each way."""
_TICK: Final = 1e-3
"""Seconds by which sums of the times between frames may be wrong."""


@dataclass(slots=True, eq=False)
class _Known:
    """What is known of one object; seconds of the stream's time."""

    opinion: Opinion
    answers: int = 0
    asked: float = -np.inf
    within: Within | None = None
    seen: float = -np.inf
    """When ``within`` was."""


@dataclass(slots=True)
class _Account:
    """Crops of one stream; ``asked`` = ``answered`` + ``late`` + ``failed``."""

    asked: int = 0
    answered: int = 0
    late: int = 0
    failed: int = 0
    left_out: int = 0
    """Not asked, because there were more than ``most``."""

    def count(self, answer: Answer) -> bool:
        """Whether something can be made of it."""
        late = isinstance(answer, Unanswered) and answer.error is None
        there = isinstance(answer, Detections | Classification | MultiLabelClassification)
        self.asked += 1
        self.answered += there
        self.late += late
        self.failed += not (there or late)
        return there


class Cascade(Stage):
    """Cuts out objects and asks another model about them, on its shared instance.

    What a classifier says is an attribute of the object, by the ``name`` of the stage: the class
    that most of the last answers about its track gave, with the mean of their confidence; with
    ``replace`` it is also the object's class. Keypoints become the object's own. Objects within
    the object come behind all others, with the index of their ``parent``. The stream waits for the
    answers; an object whose answer is late or failed goes on without, and is counted in the
    measures. Whom it asked longest ago, or never, is asked first.
    """

    manifest: ClassVar[Manifest] = Manifest(
        "Second model",
        needs=Needs(predictions=("detections",), picture=True),
        gives=Gives(
            measures=("asked", "answered", "late", "failed", "left_out"),
            columns=("attributes", "keypoints", "parent"),
        ),
        stateful_with=("every", "looks", "until"),
        examples=({"cascade": {"model": "my-cars/2", "name": "make", "most": 4}},),
    )

    def __init__(  # noqa: PLR0913 - each is an option of a document
        self,
        *,
        model: ModelId,
        name: str = "cascade",
        classes: Sequence[str] = (),
        at_least: float = 0.0,
        smallest: float = 16.0,
        padding: float = 0.1,
        most: int = 8,
        every: float = 0.0,
        looks: int = 0,
        until: float | None = None,
        votes: int = 10,
        replace: bool = False,
        confidence: float = 0.4,
        options: Mapping[str, Any] | None = None,
        deadline: float | None = 1.0,
        priority: int = -1,
        hold: float = 1.0,
        keep: float = 30.0,
    ) -> None:
        """``model``: the second one. ``name``: of the attribute and the measures.
        Of whom: ``classes``: of these; all where empty. ``at_least``: the first model is so sure.
        ``smallest``: pixels of the shorter side. ``padding``: what is cut out around them, a part
        of their width and height. ``most``: of one frame.
        How often, which wants tracks: ``every``: so many seconds. ``looks``: times in all; 1: new
        tracks only. ``until``: the mean of the last ``votes`` answers is so confident. ``votes``:
        answers that are remembered.
        What of it: ``replace``: what the second model says is the object's class. ``confidence``:
        of its answers. ``options``: more of these, like ``iou_threshold``. ``deadline``: seconds
        after which a live stream does without an answer; none: never. ``priority``: against the
        frames that the same model is asked about. ``hold``: seconds for which what was found in an
        object moves along with it. ``keep``: seconds after which a track that is away is forgotten.
        Raises ``ConfigError``."""
        _check((smallest, padding, every, looks, hold, keep), (most, votes), (at_least, until or 0))
        check_deadline(deadline)
        self._where, self._name, self._classes = model, name, names_of(classes)
        self._at_least, self._smallest, self._padding = at_least, smallest, padding
        self._most, self._every, self._looks, self._until = most, every, looks, until
        self._follows = bool(every or looks or until is not None)
        self._replace, self._deadline, self._hold = replace, deadline, hold
        self._options = {**(options or {}), "confidence": confidence}
        self._votes, self._least = votes, confidence
        self._priority = priority
        self._model: OpenModel | None = None
        self._time = StreamTime()
        self._tracks = Memory(self._new, keep)
        self._last: tuple[Detections, Mapping[int, _Known]] | None = None
        self._account = _Account()

    def _new(self) -> _Known:
        return _Known(Opinion(self._votes, self._least))

    def bind(self, models: ModelAccess) -> None:
        """Open the second model. Raises ``ConfigError`` where nothing can be made of its answers,
        and what loading raises."""
        opened = models.open(self._where, most=self._most, priority=self._priority, **self._options)
        sample = opened.sample
        if not isinstance(sample, Detections | Classification | MultiLabelClassification):
            raise ConfigError(f"{self._name}: {opened.model_id} {_useless(sample)}")
        if self._replace and not isinstance(sample, Classification):
            raise ConfigError(
                f"{self._name}: replace wants a model that gives each picture one class; "
                f"{opened.model_id} answers with {type(sample).__name__}"
            )
        self._model = opened

    def __call__(self, result: Result) -> Result:
        found = result.prediction
        if not isinstance(found, Detections):
            return result
        model = self._model
        if model is None:
            raise ConfigError(f"{self._name}: no pipeline has given it its model {self._where!r}")
        at = self._time(result.frame)
        self._tracks.forget(at, ids(found))
        known = self._known(found, at, inferred=result.inferred)
        if result.inferred:
            self._look(model, result.frame, found, known, at)
            self._last = found, known
        told = self._attached(found, known, at, model)
        account = {name: getattr(self._account, name) for name in _Account.__slots__}
        done = replace(result, prediction=told, _wire=None)
        return tell(done, self._name, {"kind": "cascade", **account})

    # -- whom to ask about -------------------------------------------------------------------

    def _known(self, found: Detections, at: float, *, inferred: bool) -> dict[int, _Known]:
        """What is known of each object that is wanted, by its index."""
        if self._follows:
            tracks(found, self._name)  # raises where nobody tracked them
        track, wanted = ids(found), self._wanted(found)
        known = {i: self._tracks.seen(track[i], at) for i in wanted if track and track[i] >= 0}
        loose = [i for i in wanted if i not in known]
        if not inferred:
            known |= self._carried(found, loose)
        elif not self._follows:
            known |= {i: self._new() for i in loose}
        return known

    def _carried(self, found: Detections, loose: list[int]) -> dict[int, _Known]:
        """Objects without a track are those of the last inference that they were moved on from."""
        if self._last is None or not loose:
            return {}
        before, known = self._last
        origin = origins(found, before).tolist()
        return {i: known[origin[i]] for i in loose if origin[i] in known}

    def _wanted(self, found: Detections) -> list[int]:
        wanted = found.confidence >= np.float32(self._at_least)
        wanted &= (found.xyxy[:, 2:] - found.xyxy[:, :2]).min(axis=1) >= self._smallest
        if self._classes:
            of_classes(found[:0], self._classes)  # raises for a name that nobody knows
            wanted &= np.isin(found.class_id, [found.names.index(name) for name in self._classes])
        chosen: list[int] = np.flatnonzero(wanted).tolist()
        return chosen

    def _due(self, known: _Known, at: float) -> bool:
        if self._looks and known.answers >= self._looks:
            return False
        if self._until is not None and known.answers and known.opinion.sure >= self._until:
            return False
        return at - known.asked >= self._every - _TICK

    # -- asking ------------------------------------------------------------------------------

    def _look(
        self,
        model: OpenModel,
        frame: VideoFrame,
        found: Detections,
        known: Mapping[int, _Known],
        at: float,
    ) -> None:
        """Ask about those that are due, never or longest ago asked first, then the best."""
        places = crops(found.xyxy, self._padding, frame.size)
        room = (places[:, 2:] - places[:, :2]).min(axis=1) >= _LEAST
        due = [i for i, one in known.items() if room[i] and self._due(one, at)]
        good = found.confidence * (places[:, 2:] - places[:, :2]).prod(axis=1)
        due.sort(key=lambda i: (known[i].asked, -good[i]))
        self._account.left_out += len(due[self._most :])
        due = due[: self._most]
        if not due:
            return
        pictures = [cut(frame.image, places[i]) for i in due]
        answers = model.ask(pictures, patience(frame, self._deadline))
        for i, answer in zip(due, answers, strict=True):
            one = known[i]
            one.asked = at
            if self._account.count(answer):
                one.answers += 1
                _hear(one, answer, places[i], found, i, at)

    # -- what is told ------------------------------------------------------------------------

    def _attached(
        self, found: Detections, known: Mapping[int, _Known], at: float, model: OpenModel
    ) -> Detections:
        sample = model.sample
        told = {i: one.opinion.told for i, one in known.items()}
        within = {
            i: one.within.at(found.xyxy[i])
            for i, one in known.items()
            if one.within is not None and at - one.seen <= self._hold
        }
        if isinstance(sample, Detections) and sample.keypoints is None:
            return with_children(found, within, sample[:0])
        if isinstance(sample, Detections):
            found, told = with_pose(found, list(known), within, sample)
        if self._replace:
            found, told = reclassified(found, told, model.names)
        return with_attributes(found, self._name, told)


def _check(amounts: Sequence[float], counts: Sequence[int], shares: Sequence[float]) -> None:
    if min(amounts) < 0 or min(counts) < 1:
        raise ConfigError(
            "most and votes are at least 1; smallest, padding, every, looks, hold and keep 0"
        )
    if not all(0 <= share <= 1 for share in shares):
        raise ConfigError("at_least and until are from 0 to 1")


def _hear(
    known: _Known, answer: Answer, place: Ints, found: Detections, index: int, at: float
) -> None:
    """Remember what was said about the object at ``index``, whose crop was at ``place``."""
    if isinstance(answer, Detections):
        known.within = Within.of(answer, place, found.xyxy[index], found.image_size)
        known.seen = at
    elif isinstance(answer, Classification | MultiLabelClassification):
        known.opinion.hear(answer)


def _useless(sample: Prediction) -> str:
    stub = hasattr(sample, "task_type")
    what = "is a stub, not trained yet" if stub else f"answers with {type(sample).__name__}"
    return f"{what}; name a model that classifies, detects, segments or finds keypoints"
