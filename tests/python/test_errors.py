"""Exceptions: which class, which code, and that they behave as exceptions do."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

import kevyrt
from kevyrt import _core

REPOSITORY = Path(__file__).resolve().parents[2]
PREFIXED = [
    value
    for value in vars(_core).values()
    if isinstance(value, type)
    and issubclass(value, kevyrt.ResponseError)
    and value is not kevyrt.ResponseError
]


def test_hierarchy() -> None:
    assert issubclass(kevyrt.Error, Exception)
    for name in ("ResponseError", "ServerStopped", "ForkedError"):
        assert getattr(kevyrt, name).__bases__ == (kevyrt.Error,)
    assert PREFIXED
    for error in PREFIXED:
        assert error.__bases__ == (kevyrt.ResponseError,)


def test_every_class_is_exported_once_and_documented() -> None:
    for error in PREFIXED:
        assert getattr(kevyrt, error.__name__) is error
        assert error.__name__ in kevyrt.__all__
        assert error.__module__ == "kevyrt"
        assert error.__doc__
    codes = [error.code for error in PREFIXED]
    assert len(set(codes)) == len(codes)
    assert kevyrt.ResponseError.code == "ERR"


def test_every_prefix_of_the_handlers_has_a_class() -> None:
    """Prefixes of error replies are the capital words in front of a literal handed to a reply."""
    pattern = re.compile(r'(?:call_error|reply_error\w*)\(\s*[^"();]*"([A-Z]+) ')
    found = set()
    for path in (REPOSITORY / "csrc").rglob("*.c"):
        found.update(pattern.findall(path.read_text()))
    assert "ERR" in found and len(found) > 2
    assert found <= {"ERR", *(error.code for error in PREFIXED)}


def test_plain_error(server: kevyrt.Server) -> None:
    server.set("k", "no number")
    with pytest.raises(kevyrt.ResponseError) as raised:
        server.execute("INCR", "k")
    assert type(raised.value) is kevyrt.ResponseError
    assert raised.value.code == "ERR"
    assert str(raised.value) == "value is not an integer or out of range"


def test_unknown_command(server: kevyrt.Server) -> None:
    with pytest.raises(kevyrt.ResponseError, match="unknown command 'NOSUCH'"):
        server.execute("NOSUCH", "thing")


def test_error_with_a_prefix(server: kevyrt.Server) -> None:
    with server.session() as session, pytest.raises(kevyrt.NoProtoError) as raised:
        session.execute("HELLO", 9)
    assert raised.value.code == "NOPROTO"
    assert str(raised.value).startswith("NOPROTO ")


def test_a_wrong_password() -> None:
    with kevyrt.Server(requirepass="right") as server:
        session = server.session()
        with pytest.raises(kevyrt.WrongPassError):
            session.execute("AUTH", "wrong")


def test_error_that_is_not_utf_8(server: kevyrt.Server) -> None:
    with pytest.raises(kevyrt.ResponseError, match="unknown command"):
        server.execute(b"\xff\xfe")


def test_errors_can_be_pickled(server: kevyrt.Server) -> None:
    with server.session() as session, pytest.raises(kevyrt.NoProtoError) as raised:
        session.execute("HELLO", 9)
    copy = pickle.loads(pickle.dumps(raised.value))
    assert type(copy) is kevyrt.NoProtoError
    assert copy.code == "NOPROTO" and copy.args == raised.value.args


def test_system_errors_are_of_their_own_class(server: kevyrt.Server) -> None:
    """Also to an `except`, which in Python 3.10 looks at what was raised, not at what it became."""
    caught: list[str] = []
    try:
        server.restore("/nonexistent/file")
    except FileNotFoundError as error:
        caught.append(str(error.filename))
    assert caught == ["/nonexistent/file"]
