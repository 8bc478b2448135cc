"""Certificates for rtsps cameras, made on the spot, good or deliberately not."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path


def self_signed(file: Path, *, address: str = "127.0.0.1", expired: bool = False) -> Path:
    """Write PEM (certificate and key) for ``address``, for its owner only to read.

    It is its own authority, good for 30 days, or until yesterday.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    last = datetime.now(UTC) + timedelta(days=-1 if expired else 30)
    place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(last - timedelta(days=60))
        .not_valid_after(last)
        .add_extension(place, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.touch(mode=0o600)
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return file
