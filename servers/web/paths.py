"""Which handlers a path has: all templates of one protocol in one regular expression.

aiohttp's router asks its resources one after the other; with one expression the search is a single call.
"""

import re
from collections.abc import Mapping
from typing import Final, Generic, NamedTuple, TypeVar

H = TypeVar("H")
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")


class Found(NamedTuple, Generic[H]):
    """What stands behind a path: its template, handlers by method, and the path's parameters."""

    template: str
    handlers: Mapping[str, H]
    parameters: dict[str, str]


class Paths(Generic[H]):
    """Templates such as `/acme/order/{order}`, each with its handlers by method."""

    def __init__(self, table: Mapping[str, Mapping[str, H]], parameters: Mapping[str, str]) -> None:
        """`parameters` gives each name its regular expression, which holds no groups."""
        self._known: dict[int, tuple[str, Mapping[str, H], tuple[str, ...]]] = {}
        expressions = []
        group = 1
        for template, handlers in table.items():
            names = tuple(_PARAMETER.findall(template))
            literals = [re.escape(part) for part in _PARAMETER.split(template)[::2]]
            patterns = [*(f"({parameters[name]})" for name in names), ""]
            expressions.append("".join(a + b for a, b in zip(literals, patterns, strict=True)))
            self._known[group] = template, handlers, names
            group += 1 + len(names)
        self._expression = re.compile("|".join(f"({one})" for one in expressions), re.ASCII)

    def find(self, path: str) -> Found[H] | None:
        """What stands behind `path`; None for what no template matches. Of two that do, the first."""
        match = self._expression.fullmatch(path)
        if match is None:
            return None
        # The group around a whole template closes last.
        group = match.lastindex
        assert group is not None
        template, handlers, names = self._known[group]
        values = match.groups()[group : group + len(names)]
        return Found(template, handlers, dict(zip(names, values, strict=True)))
