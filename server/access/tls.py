"""The certificate and key that the server encrypts its connections with."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from server.errors import StartupError


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate (chain) and its private key, as PEM files that were tried together."""

    certificate: Path
    key: Path

    def jvm_arguments(self) -> list[str]:
        """Return the engine's settings for them."""
        return [
            "-Dssl.identity.type=privatekey",
            f"-Dssl.identity.certChainPath={self.certificate}",
            f"-Dssl.identity.privateKeyPath={self.key}",
        ]


def checked_identity(certificate: Path | None, key: Path | None) -> Identity | None:
    """Return the files that were asked for, None where none were.

    Raises:
        StartupError: one without the other, unreadable, or not each other's.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        given, missing = ("--tls-key", "--tls-cert") if key else ("--tls-cert", "--tls-key")
        raise StartupError(f"{given} was given without {missing}; give both, or none")
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise StartupError(
                f"the file of {option} cannot be read: {path}: {error.strerror}"
            ) from error
    try:
        # A password is not asked for: a service has nobody who could give it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise StartupError(
            f"{certificate} and {key} cannot be used for TLS ({reason}); give a certificate and "
            "its own private key, both as PEM and the key without a password"
        ) from error
    return Identity(certificate.resolve(), key.resolve())
