"""Small objects: the picture once more in overlapping tiles, through the same detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from streamkit.asking import ModelAccess, ModelId, OpenModel, Unanswered
from streamkit.errors import ConfigError
from streamkit.freshness.carry import Carrier
from streamkit.policy import CARRIED
from streamkit.predictions import Detections, Ints, Result
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.crops import check_deadline, cut, patience
from streamkit.stages.seen import tell
from streamkit.stages.tiles import Area, merged, tiles


@dataclass(slots=True)
class _Account:
    """Tiles of one stream; ``asked`` = ``answered`` + ``late`` + ``failed``."""

    asked: int = 0
    answered: int = 0
    late: int = 0
    failed: int = 0


class Slice(Stage):
    """Finds what is too small in the whole picture: a model sees each tile at its full size.

    The look at the whole picture is the pipeline's own; the tiles go to the same model (or another)
    behind the frames of all streams, together, and what they show is joined with it: each object
    once, those that a seam cuts made whole, masks and keypoints kept. Between inferences all of
    them are moved along. Stands before ``track``. A tile whose answer is late or failed is done
    without, and counted in the measures.
    """

    manifest: ClassVar[Manifest] = Manifest(
        "Small objects",
        needs=Needs(predictions=("detections",), picture=True),
        gives=Gives(measures=("asked", "answered", "late", "failed")),
        examples=("slice", {"slice": {"columns": 3, "rows": 1, "region": [0, 0.2, 1, 0.6]}}),
    )

    def __init__(  # noqa: PLR0913 - each is an option of a document
        self,
        *,
        columns: int = 2,
        rows: int = 2,
        overlap: float = 0.2,
        region: Area = (0.0, 0.0, 1.0, 1.0),
        same: float = 0.5,
        model: ModelId | None = None,
        options: Mapping[str, Any] | None = None,
        deadline: float | None = 1.0,
        priority: int = -1,
    ) -> None:
        """``columns``, ``rows``: of tiles. ``overlap``: what neighbours share, a part of a tile's
        side; objects up to that size are seen whole by one of them. ``region``: where the tiles
        are, left, top, right, bottom as parts of the picture. ``same``: IoU from which on two boxes
        are one object. ``model``: another than the pipeline's. ``options``: of its answers
        (``confidence``, ...). ``deadline``: seconds after which a live stream does without a tile.
        ``priority``: against the frames of all streams. Raises ``ConfigError``."""
        if columns < 1 or rows < 1 or columns * rows > 64:
            raise ConfigError(f"columns={columns}, rows={rows}: give 1 or more, at most 64 tiles")
        left, top, right, bottom = region
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ConfigError(f"region={list(region)}: left, top, right, bottom are from 0 to 1")
        if not 0 <= overlap < 0.9 or not 0 < same <= 1:
            raise ConfigError("overlap is from 0 to 0.9, same above 0 and up to 1")
        check_deadline(deadline)
        self._columns, self._rows, self._overlap = columns, rows, overlap
        self._region, self._same, self._deadline = region, same, deadline
        self._where, self._options, self._priority = model, dict(options or {}), priority
        self._model: OpenModel | None = None
        self._carrier = Carrier()
        self._account = _Account()

    def bind(self, models: ModelAccess) -> None:
        """Open the model. Raises ``ConfigError`` where it finds no objects, and what loading
        raises."""
        most = self._columns * self._rows
        opened = models.open(self._where, most=most, priority=self._priority, **self._options)
        sample = opened.sample
        if not isinstance(sample, Detections):
            raise ConfigError(
                f"slice: {opened.model_id} answers with {type(sample).__name__}; name a model that "
                "detects, segments or finds keypoints"
            )
        self._model = opened

    def __call__(self, result: Result) -> Result:
        if not isinstance(result.prediction, Detections):
            return result
        if self._model is None:
            raise ConfigError("slice: no pipeline has given it a model")
        if not result.inferred:
            carried = self._carrier(Result(result.frame, CARRIED)).prediction
            found = result.prediction if carried is None else carried
        else:
            found = self._found(self._model, result, result.prediction)
            self._carrier(Result(result.frame, found))
        account = {name: getattr(self._account, name) for name in _Account.__slots__}
        done = replace(result, prediction=found, _wire=None)
        return tell(done, "slice", {"kind": "slice", **account})

    def _found(self, model: OpenModel, result: Result, whole: Detections) -> Detections:
        frame = result.frame
        places = tiles(frame.size, self._region, self._columns, self._rows, self._overlap)
        pictures = [cut(frame.image, place) for place in places]
        answers = model.ask(pictures, patience(frame, self._deadline))
        seen: list[tuple[Detections, Ints]] = []
        account = self._account
        account.asked += len(answers)
        for answer, place in zip(answers, places, strict=True):
            if isinstance(answer, Detections):
                seen.append((answer, place))
            elif isinstance(answer, Unanswered) and answer.error is None:
                account.late += 1
            else:
                account.failed += 1
        account.answered += len(seen)
        return merged(whole, [one for one, _ in seen], [place for _, place in seen], self._same)
