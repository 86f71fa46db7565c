import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.validation import Problem, ValidationFailed
from policy.validation.problems import MOST_DETAIL, connection_failed, excerpt


@given(st.binary(max_size=300), st.integers(1, 100))
def test_an_excerpt_is_printable_and_bounded(data: bytes, most: int) -> None:
    text = excerpt(data, most)
    assert text.isascii() or text.endswith("…")
    assert text.isprintable()
    assert len(text) <= 4 * most + 3
    assert text.endswith("…") == (len(data) > most)


@given(st.binary(max_size=64))
def test_an_excerpt_can_be_read_back(data: bytes) -> None:
    assert excerpt(data)[1:-1].encode("ascii").decode("unicode_escape").encode("latin-1") == data


def test_a_detail_is_bounded() -> None:
    failure = ValidationFailed(Problem.TLS, "x" * 10_000)
    assert len(failure.detail) == MOST_DETAIL
    assert str(failure).startswith("tls: xxx")


@pytest.mark.parametrize(
    ("number", "problem", "words"),
    [
        (errno.ECONNREFUSED, Problem.CONNECTION, "nothing listens there"),
        (errno.ECONNRESET, Problem.CONNECTION, "reset by the other side"),
        (errno.EPIPE, Problem.CONNECTION, "reset by the other side"),
        (errno.ENETUNREACH, Problem.CONNECTION, "no route there"),
        (errno.EHOSTUNREACH, Problem.CONNECTION, "no route there"),
        (errno.EACCES, Problem.CONNECTION, "permission denied"),
        (errno.EMFILE, Problem.SERVER_INTERNAL, "no free sockets"),
        (errno.ENOMEM, Problem.SERVER_INTERNAL, "no free sockets"),
    ],
)
def test_a_system_error_becomes_words(number: int, problem: Problem, words: str) -> None:
    failure = connection_failed(OSError(number, os.strerror(number)), "10.0.0.1:80")
    assert failure.problem is problem
    assert words in failure.detail


def test_an_error_without_a_number_has_words_too() -> None:
    assert "the connection failed" in connection_failed(OSError("/etc/secret"), "10.0.0.1:80").detail
