"""The whole examination of one source: which steps it takes, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamkit import plugins
from streamkit.doctor import advice
from streamkit.doctor.camera import CameraExamination
from streamkit.doctor.findings import Finding, Verdict
from streamkit.doctor.pictures import PictureExamination
from streamkit.sources import adapter_of, check_source
from streamkit.sources.connection import Trust
from streamkit.sources.reference import Locator, located, printable

_SCHEMES = ("rtsp://", "rtsps://")


@dataclass
class Examination:
    """One source; go through ``steps``, then read ``verdict`` and ``recommendation``.

    ``options`` are those of the source's entry in a document (``username``, ``ca_file``, ...).
    Raises ``ConfigError`` for a reference or an option that does not exist.
    """

    reference: str
    options: Mapping[str, Any] = field(default_factory=dict)
    listen: float = 6.0
    """Seconds for each thing that is listened to."""
    timeout: float = 10.0
    """Seconds that each answer of a camera may take."""
    findings: list[Finding] = field(default_factory=list)
    recommendation: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_source(self.reference, **self.options)

    @property
    def name(self) -> str:
        """The reference without its credentials."""
        return self._locator().printable if self._is_camera else printable(self.reference)

    @property
    def verdict(self) -> Verdict:
        """The worst of all findings."""
        return advice.verdict(self.findings)

    @property
    def incomplete(self) -> bool:
        """Whether the recommended address lacks a secret part of its path or query."""
        return self._is_camera and advice.hidden(self._locator().resolved(), self.reference)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "source": self.name,
            "verdict": self.verdict.value,
            "steps": [finding.as_dict() for finding in self.findings],
            "recommendation": self.recommendation,
        }

    def steps(self) -> Iterator[Finding]:
        """The findings as they come."""
        for finding in self._all():
            self.findings.append(finding)
            yield finding

    @property
    def _is_camera(self) -> bool:
        return located(self.reference).lower().startswith(_SCHEMES)

    def _locator(self) -> Locator:
        user, password = (self.options.get(name) for name in ("username", "password"))
        return Locator(self.reference, user, password)

    def _all(self) -> Iterator[Finding]:
        if not self._is_camera:
            yield from PictureExamination(self.reference, self.options, self.listen).steps()
            return
        address = self._locator().resolved()
        trust = None
        if address.scheme == "rtsps":
            trust = Trust(self.options.get("tls_verify", True), self.options.get("ca_file"))
        camera = CameraExamination(address, trust, self.listen, self.timeout)
        yield from camera.steps()
        if not camera.seen.receptions:
            return
        transport = {"transport": advice.best_transport(camera)}
        options = {**transport, **self.options}
        pictures = PictureExamination(
            self.reference,
            self._fitting(options),
            self.listen,
            after_others=True,
            whole_packets=advice.is_whole(camera.seen.receptions[transport["transport"]]),
            can_thin=any(seen.gop != 1 for seen in camera.seen.receptions.values()),
        )
        yield from pictures.steps()
        self.recommendation = advice.stanza(address, camera, pictures, self.reference, self.options)

    def _fitting(self, options: Mapping[str, Any]) -> dict[str, Any]:
        accepted = plugins.options_of(adapter_of(self.reference))
        return {name: value for name, value in options.items() if name in accepted}
