"""What a page shows of a terminal: commands behind `$ `, going on behind `> `, and below each what it printed.

Below a command `...` stands for anything: alone on a line for any lines, within a line for any text. What differs at
each run is recognised by its form. Times fit any time. The first id, serial or token of its kind stands for whatever is printed in
its place, and from then on, in commands and in output, for exactly that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_VARYING = re.compile(
    r"(?P<secret>certctl_[\w-]{43}|(?<![\w-])[\w-]{43}(?![\w-]))"
    r"|(?P<digest>\b[0-9a-f]{64}\b)"
    r"|(?P<serial>\b[0-9a-f]{28,40}\b)"
    r"|(?P<id>\b[0-9a-f]{24}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"
    r"|(?P<date>\b\d{4}-\d\d-\d\d\b)"
    r"|(?P<any>\.\.\.)"
)
_FORMS = {
    "secret": r"[\w-]{43,51}",
    "digest": r"[0-9a-f]{64}",
    "serial": r"[0-9a-f]{24,40}",
    "id": r"[0-9a-f]{24}",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    "date": r"\d{4}-\d\d-\d\d",
    "any": r".*?",
}
_BOUND = frozenset({"secret", "digest", "serial", "id"})


@dataclass(frozen=True)
class Step:
    """One command and what the page says that it prints."""

    command: str
    expected: tuple[str, ...]


def steps(lines: tuple[str, ...]) -> list[Step]:
    """The steps of a console block. Raises AssertionError for output without a command."""
    found: list[Step] = []
    rest = list(lines)
    while rest:
        first = rest.pop(0)
        assert first.startswith("$ "), f"not a command: {first!r}"
        command = [first.removeprefix("$ ")]
        while rest and rest[0].startswith(">"):
            command.append(rest.pop(0).removeprefix(">").removeprefix(" "))
        expected = []
        while rest and not rest[0].startswith("$ "):
            expected.append(rest.pop(0))
        found.append(Step("\n".join(command), tuple(expected)))
    return found


@dataclass
class Reader:
    """Compares one page with what happens, and remembers what its ids and tokens stand for.

    `fixed` are words of the page (ports, the reader's home) and what they are here.
    """

    fixed: dict[str, str]
    bound: dict[str, str] = field(default_factory=dict)

    def command(self, written: str) -> str:
        """The command to run for the one on the page."""
        return _replaced(written, self.fixed | self.bound)

    def matches(self, expected: tuple[str, ...], printed: str) -> bool:
        """Whether this was printed; if so, new ids are known from now on."""
        names: dict[str, str] = {}
        pattern = "".join(self._line(line, names) for line in expected)
        match = re.fullmatch(pattern, "".join(f"{_squeezed(line)}\n" for line in printed.splitlines()))
        if match is None:
            return False
        self.bound |= {shown: match[group] for shown, group in names.items()}
        return True

    def _line(self, line: str, names: dict[str, str]) -> str:
        if line.strip() == "...":
            return r"(?:.*\n)*?"
        pattern, end = "", 0
        line = _squeezed(line)
        for varying in _VARYING.finditer(line):
            pattern += self._literal(line[end : varying.start()]) + self._varying(varying, names)
            end = varying.end()
        return pattern + self._literal(line[end:]) + r"\n"

    def _literal(self, text: str) -> str:
        return re.escape(_replaced(text, self.fixed))

    def _varying(self, found: re.Match[str], names: dict[str, str]) -> str:
        kind, shown = found.lastgroup, found[0]
        assert kind is not None
        if kind not in _BOUND:
            return _FORMS[kind]
        if shown in self.bound:
            return re.escape(self.bound[shown])
        if shown in names:
            return f"(?P={names[shown]})"
        names[shown] = f"v{len(names)}"
        return f"(?P<{names[shown]}>{_FORMS[kind]})"


def _replaced(text: str, words: dict[str, str]) -> str:
    """`text` with each of the `words` as it is here, all at once: what was put in is not looked at again."""
    shown = "|".join(map(re.escape, words))
    return re.sub(rf"(?<!\w)(?:{shown})(?!\w)", lambda found: words[found[0]], text)


def _squeezed(line: str) -> str:
    """Without what only sets columns apart."""
    return re.sub(r"\s+", " ", line).rstrip()
