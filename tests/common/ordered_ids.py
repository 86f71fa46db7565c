"""Ids without chance: rows made one after the other in the same millisecond sort in that order."""

from itertools import count
from types import SimpleNamespace

import pytest


def order_ids(patch: pytest.MonkeyPatch) -> None:
    """Until `patch` is undone, new ids count up from nothing."""
    numbers = count()
    patch.setattr("store.ids.secrets", SimpleNamespace(randbits=lambda _: next(numbers)))
