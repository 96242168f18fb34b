"""What masks keep and what they hide, and how keys read in replies."""

from __future__ import annotations

from harness.cases import (
    MASKED,
    case,
    mask_id,
    mask_stream,
    mask_stream_activity,
    play,
    shortest_doubles,
)
from harness.matrix import Configuration
from harness.process import Server
from harness.resp import Reply, array, bulk, integer

NOW_MS = 1_700_000_000_000


def _named(*items: object) -> Reply:
    return array(*(bulk(i) if isinstance(i, str) else integer(i) for i in items))


def test_times_of_consumers_are_coarse() -> None:
    expected = array(bulk("idle"), Reply("duration", 0), bulk("pending"), integer(3))
    assert mask_stream(_named("idle", 17, "pending", 3)) == expected
    assert mask_stream(_named("idle", 49_999, "pending", 3)) == expected
    assert mask_stream(_named("idle", 50_001, "pending", 3)) != expected
    assert mask_stream(_named("seen-time", NOW_MS)) == array(bulk("seen-time"), MASKED)


def test_activity_is_hidden_only_where_it_is_not_asked_for() -> None:
    reply = _named("name", "inactive", "inactive", -1, "pending", 2)
    assert mask_stream_activity(reply) == reply
    shown = Reply("map", ((bulk("active-time"), integer(-1)), (bulk("pending"), integer(2))))
    assert mask_stream_activity(shown) == shown
    assert mask_stream(shown) == Reply("map", ((bulk("pending"), integer(2)),))


def test_deliveries_lose_their_time_alone() -> None:
    known = array(bulk("1-1"), bulk("bob"), MASKED, integer(2))
    assert mask_stream(_named("1-1", "bob", NOW_MS, 2)) == known
    assert mask_stream(_named("1-1", "bob", NOW_MS + 5, 3)) != known
    assert mask_stream(_named("1-1", "bob", 1000, 2)) != known


def test_ids_of_the_clock_are_hidden() -> None:
    assert mask_id(bulk(f"{NOW_MS}-0")) == MASKED
    assert mask_id(bulk("17-0")) == bulk("17-0")


def test_numbers_are_equal_however_many_digits_they_have() -> None:
    assert shortest_doubles(bulk("0.10000000000000001")) == shortest_doubles(bulk("0.1"))
    assert shortest_doubles(array(bulk("1e+17"))) == array(
        shortest_doubles(bulk("100000000000000000"))
    )
    assert shortest_doubles(bulk("0.1")) != shortest_doubles(bulk("0.10000000000000002"))
    for same in ("12", "-7", "007", "a1.5", "", "inf"):
        assert shortest_doubles(bulk(same)) == bulk(same)


def test_keys_read_as_their_case_names_them() -> None:
    with Server(Configuration("redis")) as server:
        names = server.spread(3)
        steps = (
            "ECHO $1",
            ("ECHO", names[1]),
            ("ECHO", names[2]),
            "XREADGROUP GROUP g c STREAMS $0 >",
        )
        entries = play(case("keys", *steps), server)
    replies = [entry.replies[0] for entry in entries]
    assert replies[:3] == [bulk("$1"), bulk("$1"), bulk(names[2])]
    assert replies[3].value.startswith(b"NOGROUP No such key '$0' or")
