"""What a stage is, from result to result of one stream; and what it says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from streamkit.predictions import Result

Kind: TypeAlias = Literal["any", "detections", "classification", "multi_label", "segmentation"]
"""Kinds of predictions; ``any``: it does not look at them."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be there for a stage to work."""

    predictions: tuple[Kind, ...] = ("any",)
    """Those it works on; others pass through it."""
    tracks: bool = False
    """A ``track`` stage before it."""
    picture: bool = False
    """It looks at pixels."""
    stream: bool = False
    """Frames that follow one another: it remembers, or goes by time. See ``Manifest.stateful``."""


@dataclass(frozen=True, slots=True)
class Gives:
    """What a stage adds to a result."""

    events: tuple[str, ...] = ()
    """Kinds of events, like ``zone.enter``."""
    measures: tuple[str, ...] = ()
    """Keys of its measure in ``Result.measures``, like ``count``."""
    columns: tuple[str, ...] = ()
    """Columns of the prediction that it sets, like ``tracker_id``."""
    picture: bool = False
    """It draws, or gives the result another picture."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A parameter that names a model."""

    parameter: str
    variants: tuple[str, ...]
    """Ids that work, the default first."""

    @property
    def default(self) -> str:
        """The one that is taken where none is named."""
        return self.variants[0]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a stage says about itself. Its parameters are not in here: they are those of its
    constructor, with their types and defaults (``streamkit.blocks``)."""

    title: str
    """Two or three words."""
    needs: Needs = field(default_factory=Needs)
    gives: Gives = field(default_factory=Gives)
    version: int = 1
    """Counts changes after which a document means something else."""
    stateful: bool = False
    """It remembers what was before: it belongs to one stream and is of no use for single pictures.
    """
    stateless_with: Mapping[str, Any] = field(default_factory=dict)
    """Options with which it needs neither tracks nor a stream after all; ``{}``: there are none."""
    stateful_with: tuple[str, ...] = ()
    """Options with which it does need tracks and a stream, where they are not at their default."""
    models: tuple[ModelChoice, ...] = ()
    examples: tuple[str | Mapping[str, Any], ...] = ()
    """Steps of a document, like ``{"zone": {"polygon": [[0, 0], [9, 0], [9, 9]]}}``; each is run by
    the tests. A stage that needs others before it shows them: ``{"steps": [...]}``."""


@runtime_checkable
class Stage(Protocol):
    """One step between model and sinks: track, count, select, draw.

    The pipeline makes one instance per stream and calls it from one thread, in frame order; what
    it remembers belongs to that stream. What it cannot handle (another kind of prediction)
    passes through. Optional attributes:

    ``manifest`` (``ClassVar[Manifest]``): what it takes and gives, and whether it keeps state. A
    class without one is taken to be stateful.

    ``end(result) -> Result``: called once, on the stream's thread, when the stream has ended, was
    removed or the run is stopped, however that came about. ``result`` is closing: the last frame
    with ``inferred=False``, its last prediction, no measures, and the events that the stages
    before this one ended with. It adds (or filters) events; nothing else of it is used.

    ``succeed(old)``: called where it takes the place of a stage of its class in the middle of a
    stream, because its options were changed; ``old`` has ended.

    ``bind(models)``: called once, before the first frame, with a ``ModelAccess``: for stages that
    ask models of their own.
    """

    def __call__(self, result: Result) -> Result:
        """The same result, changed, or a new one. May raise: that frame is counted as failed."""
        ...
