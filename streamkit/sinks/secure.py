"""TLS as the sinks that send speak it: the machine's authorities or one's own, always verified."""

from __future__ import annotations

import ssl
from pathlib import Path

from streamkit.errors import ConfigError


def tls_context(
    ca_file: str | Path | None, cert_file: str | Path | None, key_file: str | Path | None
) -> ssl.SSLContext:
    """``ca_file``: PEM of the authorities to believe instead of the machine's; ``cert_file`` and
    ``key_file``: a certificate of this side. Raises ``ConfigError`` for files that are not those.
    """
    if key_file and not cert_file:
        raise ConfigError("key_file belongs to a cert_file: give both")
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca_file={str(ca_file)!r}: {_reason(error)}") from None
    if cert_file:
        try:
            context.load_cert_chain(cert_file, key_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"cert_file={str(cert_file)!r}: {_reason(error)}") from None
    return context


def unreachable(error: OSError | ValueError) -> str:
    """Why a connection could not be had, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed ({error.verify_message}); see ca_file"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return _reason(error)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return "TLS: " + (error.reason or str(error)).replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
