"""Residual networks that classify: 18, 34, 50 and 101 layers."""

from __future__ import annotations

from streamkit.models.classifier import Classifier


class ResNetClassifier(Classifier):
    """Normalised by the statistics of ImageNet."""

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    bare = "Stretch to"
