"""What the authority asks of a key, wherever it lives: a file, a token, a service."""

from typing import Protocol

from ca.keys.algorithms import KeyAlgorithm, PublicKey


class KeyHandle(Protocol):
    """Signs and never yields its key. Its repr shows the algorithm and nothing else.

    `sign` may block (a token, a network module) and may be called from any thread.
    """

    @property
    def algorithm(self) -> KeyAlgorithm:
        """The kind of key."""

    @property
    def public_key(self) -> PublicKey:
        """The public half, as a cryptography object."""

    @property
    def signature_algorithm(self) -> bytes:
        """DER AlgorithmIdentifier of every signature that `sign` makes."""

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`: the octets that go into a signature BIT STRING."""
