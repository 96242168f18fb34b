"""CLIENT LIST, INFO, KILL, NO-EVICT, NO-TOUCH, REPLY, and RESET."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from harness.blockers import await_blocked
from harness.cases import Case, Do, Pipe, case, mask_field
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply, encode

Start = Callable[..., Server]

SILENT = [
    "CLIENT REPLY OFF",
    "PING",
    "SET $0 v",
    "MGET $0 $1",
    "FOO",
    "GET",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY ON",
    "GET $0",
]
SKIPPED = [
    "CLIENT REPLY SKIP",
    "SET $0 v",
    "GET $0",
    "CLIENT REPLY SKIP",
    "FOO",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY SKIP",
    "GET $1",
    "GET $0",
]

CASES = [
    case("client-help", "CLIENT HELP"),
    case(
        "client-list-errors",
        "CLIENT LIST TYPE",
        "CLIENT LIST TYPE foo",
        "CLIENT LIST TYPE pubsub",
        "CLIENT LIST TYPE REPLICA",
        "CLIENT LIST TYPE slave",
        "CLIENT LIST TYPE master",
        "CLIENT LIST TYPE normal x",
        "CLIENT LIST ID",
        "CLIENT LIST ID x",
        "CLIENT LIST ID 1 x",
        "CLIENT LIST ID 0",
        "CLIENT LIST ID -1 999999999",
        "CLIENT LIST FOO",
        "CLIENT LIST FOO bar",
        "CLIENT INFO x",
    ),
    case(
        "client-kill-errors",
        "CLIENT KILL",
        "CLIENT KILL x",
        "CLIENT KILL ID",
        "CLIENT KILL ID x",
        "CLIENT KILL ID 0",
        "CLIENT KILL ID -1",
        "CLIENT KILL ID 999999999",
        "CLIENT KILL ID 99999999999999999999",
        "CLIENT KILL TYPE x",
        "CLIENT KILL TYPE slave",
        "CLIENT KILL TYPE replica SKIPME no",
        "CLIENT KILL TYPE pubsub",
        "CLIENT KILL USER nobody",
        "CLIENT KILL USER default SKIPME maybe",
        "CLIENT KILL SKIPME",
        "CLIENT KILL ADDR",
        "CLIENT KILL ADDR 1.2.3.4:5",
        "CLIENT KILL LADDR 1.2.3.4:5",
        "CLIENT KILL ID 999999999 ADDR",
        "CLIENT KILL FOO bar",
        "PING",
    ),
    case(
        "client-kill-maxage",
        "CLIENT KILL MAXAGE x",
        "CLIENT KILL MAXAGE 0",
        "CLIENT KILL MAXAGE 100000",
    ),
    case(
        "client-no-evict",
        "CLIENT NO-EVICT",
        "CLIENT NO-EVICT x",
        "CLIENT NO-EVICT on",
        "CLIENT NO-EVICT OFF",
    ),
    case(
        "client-no-touch",
        "CLIENT NO-TOUCH",
        "CLIENT NO-TOUCH x",
        "CLIENT NO-TOUCH on",
        "CLIENT NO-TOUCH OFF",
    ),
    case("client-reply", "CLIENT REPLY", "CLIENT REPLY x", "CLIENT REPLY on"),
    case("client-reply-off", Pipe(SILENT, replies=2)),
    case("client-reply-skip", Pipe(SKIPPED, replies=2)),
    case("client-reply-reset", Pipe(["CLIENT REPLY OFF", "GET $0", "RESET", "PING"], replies=2)),
    case(
        "client-reply-shards",
        Pipe(
            [
                "CLIENT REPLY OFF",
                *(f"SET ${key} {key}" for key in range(4)),
                *(f"INCR ${key}" for key in range(4)),
                "CLIENT REPLY ON",
                "MGET $0 $1 $2 $3",
                "CLIENT REPLY SKIP",
                "INCR $1",
                "INCR $1",
            ],
            replies=3,
        ),
    ),
    case(
        "reset",
        "RESET x",
        "SET $0 v",
        "SELECT 3",
        "CLIENT SETNAME me",
        Do("HELLO 3", mask=mask_field(b"id")),
        "RESET",
        "CLIENT GETNAME",
        "GET $0",
        "GET $1",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_clients(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def _rows(reply: Reply) -> list[dict[str, str]]:
    return [
        dict(field.split("=", 1) for field in line.split(" "))
        for line in reply.value.decode().splitlines()
    ]


def _me(connection: Connection) -> dict[str, str]:
    return _rows(connection.do("CLIENT", "INFO"))[0]


def test_fields_are_redis_s_in_its_order(ours: Server, oracle: Oracle) -> None:
    """7.4 has three more than 7.0: watch behind multi, and the library's at the end."""
    with ours.connect() as connection, oracle.server.connect() as theirs:
        expected = list(_me(theirs))
        expected.insert(expected.index("multi") + 1, "watch")
        assert list(_me(connection)) == [*expected, "lib-name", "lib-ver"]


def test_info_tells_of_the_connection(subject: Server) -> None:
    with subject.connect() as connection:
        me = _me(connection)
        assert me["id"] == str(connection.do("CLIENT", "ID").value)
        assert me["laddr"].endswith(f":{subject.port}") and me["addr"] != me["laddr"]
        assert (me["db"], me["name"], me["flags"], me["resp"]) == ("0", "", "N", "2")
        assert (me["cmd"], me["user"], me["events"]) == ("client|info", "default", "r")
        connection.do("HELLO", 3)
        connection.do("SELECT", 2)
        connection.do("CLIENT", "SETNAME", "somebody")
        connection.do("CLIENT", "NO-EVICT", "ON")
        me = _me(connection)
        assert (me["db"], me["name"], me["flags"], me["resp"]) == ("2", "somebody", "e", "3")


def test_flags_and_library(ours: Server) -> None:
    with ours.connect() as connection:
        connection.do("CLIENT", "NO-TOUCH", "ON")
        connection.do("CLIENT", "SETINFO", "LIB-NAME", "some-lib")
        connection.do("CLIENT", "SETINFO", "LIB-VER", "1.2")
        me = _me(connection)
        assert (me["flags"], me["lib-name"], me["lib-ver"]) == ("T", "some-lib", "1.2")
        connection.do("RESET")
        assert _me(connection)["flags"] == "N"


def test_list_shows_all_by_age(subject: Server) -> None:
    with connections(subject.address, 20) as crowd:
        ids = [connection.do("CLIENT", "ID").value for connection in crowd]
        crowd[3].do("GET", "nothing")
        rows = _rows(crowd[0].do("CLIENT", "LIST"))
        listed = [int(row["id"]) for row in rows if int(row["id"]) in ids]
        if subject.is_redis:  # it looks after some of them ten times a second, and puts those first
            listed.sort()
        assert listed == sorted(ids)
        by_id = {int(row["id"]): row for row in rows}
        assert by_id[ids[0]]["cmd"] == "client|list"
        assert by_id[ids[3]]["cmd"] == "get"
        wanted = [ids[7], 10**9, ids[2], ids[7]]
        rows = _rows(crowd[0].do("CLIENT", "LIST", "ID", *wanted))
        assert [int(row["id"]) for row in rows] == [ids[7], ids[2], ids[7]]
        assert _rows(crowd[1].do("CLIENT", "LIST", "TYPE", "normal"))


def test_idle_time(subject: Server) -> None:
    with subject.connect() as idle, subject.connect() as busy:
        number = idle.do("CLIENT", "ID").value
        time.sleep(1.05)
        busy.do("PING")
        (row,) = _rows(busy.do("CLIENT", "LIST", "ID", number))
        assert row["idle"] == row["age"] in ("1", "2")
        assert _me(busy)["idle"] == "0"


ENDS = {
    "served": ("RPUSH", "{key}", "x"),
    "unblocked": ("CLIENT", "UNBLOCK", "{id}"),
    "killed": ("CLIENT", "KILL", "ID", "{id}"),
}


@pytest.mark.parametrize("length", [10, 1000, 100_000])
@pytest.mark.parametrize("end", ENDS)
def test_what_a_client_waits_with_is_its_memory(end: str, length: int, subject: Server) -> None:
    key = "k" * length
    command = ("BLPOP", key, f"other{key}", "0")
    words = sum(map(len, command))
    with subject.connect() as client, subject.connect() as control:
        number = client.do("CLIENT", "ID").value
        (before,) = _rows(control.do("CLIENT", "LIST", "ID", number))
        assert before["argv-mem"] == "0"
        client.send(encode(*command))
        await_blocked(subject, 1)
        (row,) = _rows(control.do("CLIENT", "LIST", "ID", number))
        assert int(row["argv-mem"]) == words
        # Redis may have made the client's reply buffer smaller meanwhile, which weighs more.
        assert subject.is_redis or int(row["tot-mem"]) >= int(before["tot-mem"]) + words
        last = [word.format(key=key, id=number) for word in ENDS[end]]
        assert control.do(*last).kind == "integer"
        if end == "killed":
            assert _is_closed(client)
            return
        client.read()
        (row,) = _rows(control.do("CLIENT", "LIST", "ID", number))
        assert row["argv-mem"] == "0"
        assert int(row["tot-mem"]) < int(before["tot-mem"]) + max(words, 1000)


def test_what_clients_wait_with_is_summed(ours: Server) -> None:
    """Of connections, that is; and nothing of it stays when they end, however they do."""
    key = "k" * 50_000
    with ours.connect() as control:

        def held() -> int:
            text = control.do("INFO", "memory").value
            return int(text.partition(b"mem_clients_normal:")[2].split()[0])

        before = held()
        with connections(ours.address, 10) as waiters:
            for at, waiter in enumerate(waiters):
                waiter.send(encode("BLPOP", key, "0"))
                await_blocked(ours, at + 1)
            assert held() >= before + 10 * len(key)
            control.do("RPUSH", key, "a", "b", "c", "d", "e")
            for waiter in waiters[:5]:
                waiter.read()
            waiting = held()
            assert before + 5 * len(key) <= waiting < before + 10 * len(key)
        deadline = time.monotonic() + 10
        while held() >= before + len(key):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _is_closed(connection: Connection) -> bool:
    return connection.read_until_closed() == []


def test_kill_by_id(subject: Server) -> None:
    with connections(subject.address, 8) as crowd:
        ids = [connection.do("CLIENT", "ID").value for connection in crowd]
        for victim in (1, 2, 3):
            assert crowd[0].do("CLIENT", "KILL", "ID", ids[victim]).value == 1
            left = {int(row["id"]) for row in _rows(crowd[0].do("CLIENT", "LIST"))}
            assert ids[victim] not in left
            assert _is_closed(crowd[victim])
        assert crowd[0].do("CLIENT", "KILL", "ID", ids[0]).value == 0
        assert crowd[4].do("PING").value == b"PONG"


def test_kill_by_address(subject: Server) -> None:
    with subject.connect() as killer, subject.connect() as victim, subject.connect() as other:
        assert killer.do("CLIENT", "KILL", _me(victim)["addr"]).kind == "simple"
        assert _is_closed(victim)
        address = _me(other)["addr"]
        command = ("CLIENT", "KILL", "ADDR", address, "TYPE", "normal", "USER", "default")
        assert killer.do(*command).value == 1
        assert _is_closed(other)


def test_kill_of_oneself_is_answered(subject: Server) -> None:
    with subject.connect() as connection:
        address = _me(connection)["addr"]
        assert connection.do("CLIENT", "KILL", address).kind == "simple"
        assert _is_closed(connection)
    with subject.connect() as connection:
        number = connection.do("CLIENT", "ID").value
        assert connection.do("CLIENT", "KILL", "ID", number, "SKIPME", "no").value == 1
        assert _is_closed(connection)


def test_kill_all_others(own: Start) -> None:
    server = own()
    with connections(server.address, 30) as crowd:
        for connection in crowd:
            connection.do("PING")
        local = _me(crowd[0])["laddr"]
        killed = crowd[0].do("CLIENT", "KILL", "LADDR", local).value
        assert killed >= 29
        assert all(_is_closed(connection) for connection in crowd[1:])
        assert crowd[0].do("PING").value == b"PONG"


def test_kill_by_age(ours: Server) -> None:
    with ours.connect() as old:
        number = old.do("CLIENT", "ID").value
        time.sleep(1.05)
        with ours.connect() as young:
            command = ("CLIENT", "KILL", "ID", number, "MAXAGE")
            assert young.do(*command, "5").value == 0
            assert young.do(*command, "1").value == 1
            assert _is_closed(old)


def test_killed_clients_run_nothing_more(subject: Server) -> None:
    """What a killed connection has pipelined is not run once KILL is answered."""
    key = subject.spread(1)[0]
    with subject.connect() as killer, subject.connect() as victim:
        number = victim.do("CLIENT", "ID").value
        victim.send(b"".join(b"INCR %s\r\n" % key.encode() for _ in range(20_000)))
        killer.do("CLIENT", "KILL", "ID", number)
        before = killer.do("GET", key).value
        time.sleep(0.05)
        assert killer.do("GET", key).value == before


def test_no_touch_leaves_the_access_time(ours: Server) -> None:
    with ours.connect() as quiet, ours.connect() as other:
        keys = ours.spread(4)
        for key in keys:
            other.do("SET", key, "v")
        quiet.do("CLIENT", "NO-TOUCH", "ON")
        time.sleep(2.2)
        for key in keys:
            quiet.do("GET", key)
            assert other.do("OBJECT", "IDLETIME", key).value >= 2
            quiet.do("TOUCH", key)
            assert other.do("OBJECT", "IDLETIME", key).value <= 1  # a second may just have ended


def test_reset_asks_for_the_password_again(own: Start) -> None:
    server = own("--requirepass", "secret", password="secret")
    with server.connect() as connection:
        connection.do("AUTH", "secret")
        assert connection.do("PING").value == b"PONG"
        assert connection.do("RESET").value == b"RESET"
        assert connection.do("PING").kind == "error"


# Limits. Replies are asked for and not read: what the kernel's buffers do not take is the output.

LARGE = b"x" * 1_000_000


def _ask_for(connection: Connection, count: int) -> None:
    connection.send(b"GET large\r\n" * count)


def _is_listed(connection: Connection, number: int) -> bool:
    return bool(_rows(connection.do("CLIENT", "LIST", "ID", number)))


def _is_gone(control: Connection, number: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _is_listed(control, number):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_hard_limit_of_output(own: Start) -> None:
    server = own("--client-output-buffer-limit", "normal 20mb 0 0")
    with connections(server.address, 3) as (control, modest, greedy):
        control.do("SET", "large", LARGE)
        numbers = [connection.do("CLIENT", "ID").value for connection in (modest, greedy)]
        _ask_for(modest, 10)
        _ask_for(greedy, 60)
        assert _is_gone(control, numbers[1], 5)
        assert _is_listed(control, numbers[0])
        assert [reply.value == LARGE for reply in modest.read_many(10)] == [True] * 10
        assert (
            control.do("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0").kind
            == "simple"
        )
        with server.connect() as again:
            number = again.do("CLIENT", "ID").value
            _ask_for(again, 60)
            time.sleep(0.1)
            assert _is_listed(control, number)


def test_soft_limit_of_output(own: Start) -> None:
    server = own("--client-output-buffer-limit", "normal 0 10mb 1")
    with connections(server.address, 3) as (control, quick, slow):
        control.do("SET", "large", LARGE)
        numbers = [connection.do("CLIENT", "ID").value for connection in (quick, slow)]
        start = time.monotonic()
        for connection in (quick, slow):
            _ask_for(connection, 40)
        time.sleep(0.3)
        assert _is_listed(control, numbers[1])
        assert len(quick.read_many(40)) == 40
        assert _is_gone(control, numbers[1], 5)
        assert time.monotonic() - start > 0.9
        assert _is_listed(control, numbers[0])


def test_limit_of_input(own: Start) -> None:
    server = own("--client-query-buffer-limit", "1mb")
    with connections(server.address, 2) as (control, greedy):
        number = greedy.do("CLIENT", "ID").value
        greedy.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4000000\r\n" + b"x" * 3_000_000)
        assert _is_gone(control, number, 5)
        assert control.do("GET", "a").value is None
        assert control.do("SET", "a", b"x" * 500_000).kind == "simple"


def test_what_all_clients_hold_is_limited(own: Start) -> None:
    server = own("--maxmemory-clients", "60mb")
    with connections(server.address, 5) as (control, small, large, larger, kept):
        control.do("SET", "large", LARGE)
        kept.do("CLIENT", "NO-EVICT", "ON")
        crowd = (small, large, larger, kept)
        numbers = [connection.do("CLIENT", "ID").value for connection in crowd]
        for connection, count in zip(crowd, (5, 14, 30, 40), strict=True):
            _ask_for(connection, count)
        assert _is_gone(control, numbers[2], 5)
        assert _is_listed(control, numbers[0]) and _is_listed(control, numbers[3])
        info = control.do("INFO", "stats").value.decode()
        assert "evicted_clients:0" not in info and "evicted_clients:" in info
        assert len(small.read_many(5)) == 5 and len(kept.read_many(40)) == 40
