"""Certificates made on the spot, for tests of TLS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamkit.chaos import certificate


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1: its own authority."""

    file: Path
    """PEM, with the private key in it."""
    authority: Path
    """PEM, the certificate alone."""


def self_signed(folder: Path, address: str = "127.0.0.1") -> Certificate:
    """Make one for ``address``."""
    folder.mkdir(parents=True, exist_ok=True)
    both = certificate.self_signed(folder / "camera.pem", address=address)
    alone = folder / "authority.pem"
    alone.write_bytes(both.read_bytes().partition(b"-----BEGIN PRIVATE KEY-----")[0])
    return Certificate(both, alone)
