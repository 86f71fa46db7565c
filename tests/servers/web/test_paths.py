"""Which handlers a path has."""

import pytest

from servers.web.paths import Paths

PATHS = Paths(
    {
        "/a/{name}/b": {"GET": 1},
        "/a/{number}": {"POST": 2},
        "/a/{name}": {"POST": 3},
        "/a/{name}/{number}": {"GET": 4, "POST": 5},
        "/a.b": {"GET": 6},
    },
    {"name": "[a-z]{1,5}", "number": "[0-9]+"},
)


@pytest.mark.parametrize(
    ("path", "template", "handlers", "parameters"),
    [
        ("/a/x/b", "/a/{name}/b", {"GET": 1}, {"name": "x"}),
        ("/a/12", "/a/{number}", {"POST": 2}, {"number": "12"}),
        ("/a/xy", "/a/{name}", {"POST": 3}, {"name": "xy"}),
        ("/a/xy/34", "/a/{name}/{number}", {"GET": 4, "POST": 5}, {"name": "xy", "number": "34"}),
        ("/a.b", "/a.b", {"GET": 6}, {}),
    ],
)
def test_a_path_finds_its_template(
    path: str, template: str, handlers: dict[str, int], parameters: dict[str, str]
) -> None:
    assert PATHS.find(path) == (template, handlers, parameters)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a",
        "/a/",
        "/a/x/",
        "/a/x/b/",
        "x/a/x/b",
        "/a/X",
        "/axb",
        "/a/abcdef",
        "/a/1x",
        "/a/x\n",
        "/a/٣",
    ],
)
def test_what_matches_no_template_is_nothing(path: str) -> None:
    assert PATHS.find(path) is None
