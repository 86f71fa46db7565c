"""Why a request is turned away before anything in it is looked up, one family.

    WireRefused
      MalformedJws            not a flattened JWS as RFC 8555 section 6.2 demands
      BadSignatureAlgorithm   an `alg` that is not for this place (section 6.2)
      BadPublicKey            a key that we do not take, or that does not fit the `alg` (section 6.2)
      BadSignature            the signature or MAC is wrong
      WrongUrl                signed for another URL (section 6.4)
      BadNonce                absent, forged, too old or used (section 6.5)

The messages are words for the client's user: no secret, and a stranger's text only through `quoted`.
`servers.acme.problems` says which problem document each becomes.
"""


class WireRefused(Exception):
    """The request is refused for its envelope alone; nothing was stored."""


class MalformedJws(WireRefused):
    """The body is not a flattened JWS with the protected header that RFC 8555 section 6.2 asks for."""


class BadSignatureAlgorithm(WireRefused):
    """The `alg` is none of `algorithms`, which the answer lists (RFC 8555 section 6.2)."""

    def __init__(self, message: str, algorithms: tuple[str, ...]) -> None:
        super().__init__(message)
        self.algorithms = algorithms


class BadPublicKey(WireRefused):
    """The JWK is malformed, weak, of an unsupported kind, or does not fit the `alg`."""


class BadSignature(WireRefused):
    """The signature or MAC does not verify."""


class WrongUrl(WireRefused):
    """The signed `url` is not the URL that the request came to."""


class BadNonce(WireRefused):
    """The nonce is absent or none that we would take now; a fresh one goes out with the answer."""
