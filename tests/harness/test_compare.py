"""The comparer complains about every difference that a client could see, and excuses only rows."""

from __future__ import annotations

import pytest

from harness import compare
from harness.cases import Case, Entry, Send, case, mask_remaining
from harness.compare import Difference, check
from harness.resp import OK, Malformed, Parser, Reply, bulk, encode, integer, render

A_CASE = case("a-case", "GET k")


def _complaints(ours: list[Reply], theirs: list[Reply], a_case: Case = A_CASE) -> list[str]:
    label = a_case.steps[0].label
    return check(a_case, [Entry(label, ours)], [Entry(label, theirs)])


def _parse(data: bytes) -> Reply:
    parser = Parser()
    parser.feed(data)
    reply = parser.take()
    assert reply is not None and not parser.rest()
    return reply


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Difference]:
    table: list[Difference] = []
    monkeypatch.setattr(compare, "differences", lambda: table)
    return table


ALIKE_BUT_NOT_EQUAL = [
    (b"$-1\r\n", b"*-1\r\n"),
    (b"$-1\r\n", b"_\r\n"),
    (b"$2\r\nOK\r\n", b"+OK\r\n"),
    (b"+OK\r\n", b"-OK\r\n"),
    (b":1\r\n", b"$1\r\n1\r\n"),
    (b"$1\r\n1\r\n", b",1\r\n"),
    (b",1\r\n", b",1.0\r\n"),
    (b"*1\r\n:1\r\n", b"~1\r\n:1\r\n"),
    (b"*2\r\n:1\r\n:2\r\n", b"%1\r\n:1\r\n:2\r\n"),
    (b"*2\r\n:1\r\n:2\r\n", b"*2\r\n:2\r\n:1\r\n"),
    (b"*0\r\n", b"*-1\r\n"),
    (b"$0\r\n\r\n", b"$-1\r\n"),
    (b"=5\r\ntxt:a\r\n", b"$1\r\na\r\n"),
    (b">1\r\n:1\r\n", b"*1\r\n:1\r\n"),
    (b"-ERR a\r\n", b"-ERR A\r\n"),
    (b"#t\r\n", b":1\r\n"),
]


@pytest.mark.parametrize(("ours", "theirs"), ALIKE_BUT_NOT_EQUAL)
def test_alike_but_not_equal(rows: list[Difference], ours: bytes, theirs: bytes) -> None:
    assert not rows
    assert _complaints([_parse(ours)], [_parse(theirs)])
    assert not _complaints([_parse(ours)], [_parse(ours)])


def test_missing_and_extra_replies(rows: list[Difference]) -> None:
    assert not rows
    assert _complaints([OK], [OK, OK])
    assert _complaints([OK, OK], [OK])


def test_row_replaces_the_expectation(rows: list[Difference]) -> None:
    rows.append(Difference("GET", "what", "source", "a-*", "GET k", render(integer(7))))
    assert not _complaints([integer(7)], [integer(1)])
    assert _complaints([integer(8)], [integer(1)])
    assert "equal to the oracle" in _complaints([integer(1)], [integer(1)])[0]


def test_row_that_no_longer_differs_is_a_complaint(rows: list[Difference]) -> None:
    rows.append(Difference("GET", "what", "source", "a-case", "GET k", render(integer(1))))
    assert _complaints([integer(1)], [integer(1)])


def test_row_about_a_field(rows: list[Difference]) -> None:
    rows.append(Difference("GET", "what", "source", "*", "*", 'bulk "2"', field="v"))

    def a_map(version: str) -> Reply:
        return Reply("map", ((bulk("v"), bulk(version)), (bulk("x"), integer(1))))

    assert not _complaints([a_map("2")], [a_map("1")])
    assert _complaints([a_map("3")], [a_map("1")])
    assert _complaints([a_map("1")], [a_map("1")])
    assert _complaints([a_map("2")], [a_map("2")])
    assert not _complaints([bulk("other")], [bulk("other")])


def test_row_of_another_case_excuses_nothing(rows: list[Difference]) -> None:
    rows.append(Difference("GET", "what", "source", "other-case", "GET k", render(integer(7))))
    assert _complaints([integer(7)], [integer(1)])


def test_case_that_reads_nothing_is_refused() -> None:
    with pytest.raises(ValueError):
        case("nothing", Send(encode("PING")))


def test_remaining_time_is_compared_within_seconds(rows: list[Difference]) -> None:
    assert not rows
    mask = mask_remaining(1)
    assert not _complaints([mask(integer(100_000))], [mask(integer(97_001))])
    assert _complaints([mask(integer(100_000))], [mask(integer(90_000))])
    assert _complaints([mask(integer(100_000))], [mask(integer(-1))])


@pytest.mark.parametrize("data", [b"?1\r\n", b":x\r\n", b"$3\r\nabcd\r\n", b":\r\n", b"*x\r\n"])
def test_what_is_not_resp_is_refused(data: bytes) -> None:
    parser = Parser()
    parser.feed(data)
    with pytest.raises(Malformed):
        parser.take()


@pytest.mark.parametrize(
    "data", [b"*2\r\n$3\r\nabc\r\n%1\r\n+a\r\n_\r\n", b"+OK\r\n", b"$0\r\n\r\n"]
)
def test_parser_waits_for_the_last_byte(data: bytes) -> None:
    parser = Parser()
    for at in range(len(data)):
        assert parser.take() is None
        parser.feed(data[at : at + 1])
    assert parser.take() == _parse(data)
