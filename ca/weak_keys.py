"""Public keys that somebody other than their owner can break."""


def check_key(public_key: object) -> list[str]:
    """Why the key is weak, in words; empty when nothing is known against it."""
    del public_key
    return []
