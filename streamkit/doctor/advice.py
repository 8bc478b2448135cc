"""What the examination recommends: the source's entry for a pipeline document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from streamkit.doctor.camera import CameraExamination
from streamkit.doctor.findings import Finding, Verdict
from streamkit.doctor.pictures import PictureExamination
from streamkit.doctor.rtp import Reception
from streamkit.sources.reference import Address, kept_elsewhere

_LOSS = 0.0005
_SLOW = 5.0


def stanza(
    address: Address,
    camera: CameraExamination,
    pictures: PictureExamination,
    reference: str,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The entry below ``sources:``; credentials by reference, never themselves."""
    entry: dict[str, Any] = {"reference": shown(address, reference)}
    if address.username is not None and "${" not in reference:
        named = {"username": "env:CAM_USER", "password": "env:CAM_PASSWORD"}
        entry |= {name: _kept(options.get(name), usual) for name, usual in named.items()}
    entry |= {k: v for k, v in options.items() if k in ("ca_file", "tls_verify")}
    entry["transport"] = best_transport(camera)
    if pictures.whole is not None and pictures.whole.first_after > _SLOW:
        entry["open_timeout"] = round(3 * pictures.whole.first_after)
    return entry


def shown(address: Address, reference: str) -> str:
    """The reference where it only names its secrets, else the address without user and password; a
    secret in its path or query is not shown either."""
    if "${" in reference or kept_elsewhere(reference):
        return reference
    return replace(address, username=None, password=None).printable


def hidden(address: Address, reference: str) -> bool:
    """Whether parts of the address that it needs are missing in ``shown``."""
    shows = shown(address, reference)
    return shows not in (reference, replace(address, username=None, password=None).url)


def _kept(given: object, usual: str) -> str:
    """A reference to a credential, as it was given; what was written out gets a name instead."""
    named = isinstance(given, str) and given.startswith(("env:", "file:", "keyring:"))
    return str(given) if named else usual


def best_transport(camera: CameraExamination) -> str:
    """TCP, unless only UDP works, or packets are lost over TCP and not over UDP."""
    receptions = camera.seen.receptions
    lossy = {name: not is_whole(reception) for name, reception in receptions.items()}
    return min(lossy, key=lambda name: (lossy[name], name != "tcp"), default="tcp")


def is_whole(reception: Reception) -> bool:
    """Whether (nearly) all packets came, in their order."""
    return reception.loss <= _LOSS and reception.late <= _LOSS * reception.packets


def written(entry: Mapping[str, Any]) -> str:
    """As YAML, to be pasted into a document."""
    return str(yaml.safe_dump({"sources": [dict(entry)]}, sort_keys=False))


def verdict(findings: Sequence[Finding]) -> Verdict:
    """The worst of all."""
    order = [Verdict.FAILED, Verdict.WARNING, Verdict.GOOD]
    met = {finding.verdict for finding in findings}
    return next((verdict for verdict in order if verdict in met), Verdict.GOOD)
