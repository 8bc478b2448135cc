"""Vision transformers that classify."""

from __future__ import annotations

from streamkit.models.classifier import Classifier


class VitClassifier(Classifier):
    """Wants -1..1."""

    mean = std = (0.5, 0.5, 0.5)
    bare = "Stretch to"
