"""The one way in which a request is turned away."""


class CsrRefused(ValueError):
    """The request is not one this authority reads; `reason` says why, in words for its sender."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
