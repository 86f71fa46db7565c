"""Which tests share a worker process: those of a file in tests/end_to_end, because they share a running server.

What `xdist_group` marks would say; but pytest 9.2 keeps node ids where pytest-xdist 3.8 does not write its groups.
"""

from typing import Final

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

_TOGETHER: Final = "tests/end_to_end/"


class FilesTogether(LoadScopeScheduling):  # type: ignore[misc]  # untyped, like all of it
    """Every test is given to whoever is free; but the tests of a file in `_TOGETHER` to one worker, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith(_TOGETHER) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Called by pytest-xdist when workers are used."""
    return FilesTogether(config, log)
