"""A CA key that tells what it is asked to sign: the last witness of every signature."""

from collections.abc import Callable

from ca.keys import KeyAlgorithm, KeyHandle, PublicKey


class KeyBroken(Exception):
    """The key does not answer, as a token does that was pulled out."""


class RecordingKey:
    """A KeyHandle around a real one. `heard` is called with the data before every signature; it may raise."""

    def __init__(self, key: KeyHandle, heard: Callable[[bytes], None]) -> None:
        self._key = key
        self._heard = heard
        self.broken = False

    @property
    def algorithm(self) -> KeyAlgorithm:
        return self._key.algorithm

    @property
    def public_key(self) -> PublicKey:
        return self._key.public_key

    @property
    def signature_algorithm(self) -> bytes:
        return self._key.signature_algorithm

    def sign(self, data: bytes) -> bytes:
        if self.broken:
            raise KeyBroken
        self._heard(data)
        return self._key.sign(data)
