"""Stages: what happens to the results of one stream between the model and the sinks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.stages.base import Stage

__all__ = ["STAGES", "Stage", "open_stage"]

STAGES: dict[str, str] = {
    "annotate": "streamkit.stages.annotate:Annotate",
    "cascade": "streamkit.stages.cascade:Cascade",
    "evidence": "streamkit.stages.evidence:WithEvidence",
    "filter": "streamkit.stages.filter:Filter",
    "heat": "streamkit.stages.heat:Heat",
    "limit": "streamkit.stages.limit:Limit",
    "line": "streamkit.stages.line:Line",
    "privacy": "streamkit.stages.privacy:Privacy",
    "select": "streamkit.stages.select:Select",
    "slice": "streamkit.stages.slice:Slice",
    "speed": "streamkit.stages.speed:Speed",
    "still": "streamkit.stages.still:Still",
    "track": "streamkit.stages.track:Track",
    "trails": "streamkit.stages.trails:Trails",
    "window": "streamkit.stages.window:Window",
    "zone": "streamkit.stages.zone:Zone",
}
"""Every stage a document can name; a new one is one line here."""


def open_stage(name: str, options: Mapping[str, Any]) -> Stage:
    """A new stage by name, or by ``"my_module:MyStage"``; ``options`` are its keywords.

    Raises ``ConfigError`` for an unknown name or option, naming the choices.
    """
    stage = plugins.build(STAGES, name, options)
    if not isinstance(stage, Stage):
        raise ConfigError(f"{name!r} is not a stage: it cannot be called with a result")
    return stage
