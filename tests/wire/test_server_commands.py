"""COMMAND, CONFIG GET, DBSIZE, FLUSHALL, FLUSHDB and INFO."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

import pytest
from harness.cases import (
    MASKED,
    Case,
    Do,
    Pipe,
    Until,
    case,
    mask_field,
    play,
    unordered_flags,
    unordered_pairs,
)
from harness.client import Connection
from harness.compare import Oracle
from harness.definitions import parse_definitions
from harness.process import Server
from harness.resp import OK, Reply, integer, text_of

COMMANDS = [row.name.lower().replace(" ", "|") for row in parse_definitions()]

CORE_COMMANDS = [
    *(
        "client|getname",
        "client|id",
        "client|setinfo",
        "client|setname",
        "echo",
        "hello",
        "ping",
        "quit",
        "select",
    ),
    *("del", "exists", "expire", "pexpire", "pttl", "ttl", "command|count", "command|info"),
    *("config|get", "dbsize", "flushall", "flushdb", "info", "shutdown"),
    *("get", "incr", "mget", "mset", "set", "auth"),
]

SUBCOMMANDS_AT = 9  # in a row of COMMAND INFO


def _unordered_sets(reply: Reply) -> Reply:
    """Sets as multisets, at any depth: RESP3 says which collections have no order."""
    if reply.kind == "map":
        return Reply("map", tuple((key, _unordered_sets(value)) for key, value in reply.value))
    if not isinstance(reply.value, tuple):
        return reply
    items = [_unordered_sets(item) for item in reply.value]
    return Reply(reply.kind, tuple(sorted(items, key=repr) if reply.kind == "set" else items))


def _own_row(reply: Reply) -> Reply:
    """COMMAND INFO of one command without the rows of its subcommands."""
    (row,) = _unordered_sets(reply).value
    if row.kind == "array" and row.value[SUBCOMMANDS_AT].value:
        row = Reply("array", (*row.value[:SUBCOMMANDS_AT], MASKED))
    return Reply("array", (row,))


CASES = [
    *(
        case(
            f"command-info-{name.replace('|', '-')}",
            Do(f"COMMAND INFO {name}", mask=unordered_flags),
        )
        for name in CORE_COMMANDS
    ),
    case(
        "command-info-unknown",
        "COMMAND INFO nosuch",
        Do("COMMAND INFO nosuch get nosuch", mask=unordered_flags),
    ),
    case(
        "command-info-every",
        Do("HELLO 3", mask=mask_field(b"id")),
        *(Do(f"COMMAND INFO {name}", mask=_own_row) for name in COMMANDS),
    ),
    case("command-info-upper-case", Do("command info GET", mask=unordered_flags)),
    case("command-info-subcommand-unknown", "COMMAND INFO client|nope", "COMMAND INFO get|x"),
    case("command-count-arity", "COMMAND COUNT a"),
    case(
        "config-get-one",
        "CONFIG GET databases",
        "config get DATABASES",
        "CONFIG GET nosuch",
        "CONFIG GET",
    ),
    case(
        "config-get-values",
        "CONFIG GET maxmemory",
        "CONFIG GET maxmemory-policy",
        "CONFIG GET appendonly",
        "CONFIG GET save",
        "CONFIG GET timeout",
        "CONFIG GET tcp-keepalive",
        "CONFIG GET maxclients",
        "CONFIG GET requirepass",
        "CONFIG GET proto-max-bulk-len",
    ),
    case("config-get-several", Do("CONFIG GET databases timeout nosuch", mask=unordered_pairs)),
    case(
        "config-get-names",
        Do("CONFIG GET TimeOut timeout", mask=unordered_pairs),
        "CONFIG GET slave-read-only",
        Do("CONFIG GET *-read-only", mask=unordered_pairs),
        "CONFIG GET ''",
        "CONFIG GET TIME*T",
        "CONFIG GET time\\out",
    ),
    case(
        "config-get-shapes",
        "CONFIG GET client-output-buffer-limit",
        "CONFIG GET oom-score-adj-values",
        "CONFIG GET unixsocketperm",
        "CONFIG GET auto-aof-rewrite-min-size",
        "CONFIG GET shutdown-on-sigterm",
        "CONFIG GET latency-tracking-info-percentiles",
        "CONFIG GET notify-keyspace-events",
        "CONFIG GET bind",
    ),
    case("config-bad", "CONFIG", "CONFIG NOPE", "CONFIG GET", "CONFIG RESETSTAT a"),
    case("config-get-map", Do("HELLO 3", mask=mask_field(b"id")), "CONFIG GET databases"),
    case("config-get-repeated", Do("CONFIG GET databases databases data*", mask=unordered_pairs)),
    case(
        "config-get-globs",
        "CONFIG GET maxmemory-p*",
        "CONFIG GET data[abc]ases",
        "CONFIG GET d?tabases",
    ),
    case(
        "dbsize",
        "DBSIZE",
        "MSET $0 a $1 b $2 c",
        "DBSIZE",
        "DEL $0",
        "DBSIZE",
        "DBSIZE a",
        "SELECT 1",
        "DBSIZE",
    ),
    case(
        "flushdb",
        "MSET $0 a $1 b $2 c",
        "SELECT 1",
        "SET $0 x",
        "FLUSHDB",
        "DBSIZE",
        "SELECT 0",
        "DBSIZE",
        "FLUSHDB",
        "DBSIZE",
    ),
    case(
        "flushall",
        "MSET $0 a $1 b $2 c",
        "SELECT 1",
        "SET $0 x",
        "FLUSHALL",
        "DBSIZE",
        "SELECT 0",
        "DBSIZE",
    ),
    case(
        "flush-options",
        "SET $0 v",
        "FLUSHALL ASYNC",
        "DBSIZE",
        "SET $0 v",
        "FLUSHALL sync",
        "SET $0 v",
        "FLUSHDB ASYNC",
        "SET $0 v",
        "FLUSHDB SYNC",
        "DBSIZE",
    ),
    case(
        "flush-bad",
        "FLUSHALL FOO",
        "FLUSHALL SYNC ASYNC",
        "FLUSHDB FOO",
        "FLUSHDB ASYNC SYNC",
        "flushall ''",
    ),
    case(
        "flush-in-a-pipeline",
        Pipe(
            [
                "MSET $0 a $1 b $2 c",
                "FLUSHALL",
                "SET $1 x",
                "MGET $0 $1 $2",
                "FLUSHDB",
                "EXISTS $0 $1 $2",
            ]
        ),
    ),
    case("info-unknown-section", Do("INFO nosuch")),
    case("shutdown-bad", "SHUTDOWN FOO", "SHUTDOWN SAVE NOSAVE", "SHUTDOWN ABORT NOW", "PING"),
    case("shutdown-abort-without", "SHUTDOWN ABORT", Until("PING", Reply("simple", b"PONG"))),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_server_commands(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_the_folder_is_the_working_folder(subject: Server) -> None:
    with subject.connect() as connection:
        name, folder = connection.do("CONFIG", "GET", "dir").value
        assert name.value == b"dir"
        assert folder.value == os.fsencode(os.readlink(f"/proc/{subject.pid}/cwd"))
        assert folder in connection.do("CONFIG", "GET", "d*").value


def test_command_count_is_the_length_of_command(subject: Server) -> None:
    with subject.connect() as connection:
        rows = connection.do("COMMAND")
        assert rows.kind == "array"
        assert connection.do("COMMAND", "COUNT") == integer(len(rows.value))
        names = [row.value[0].value for row in rows.value]
        assert len(set(names)) == len(names)
        assert {b"get", b"set", b"client", b"config", b"hello"} <= set(names)
        assert connection.do("COMMAND", "INFO").value == rows.value


@pytest.mark.parametrize("protocol", [2, 3])
def test_containers_hold_the_rows_of_their_subcommands(subject: Server, protocol: int) -> None:
    with subject.connect() as connection:
        connection.do("HELLO", protocol)
        rows = connection.do("COMMAND").value
        nested = [sub for row in rows for sub in row.value[SUBCOMMANDS_AT].value]
        alone = connection.do("COMMAND", "INFO", *(sub.value[0].value for sub in nested))
    assert len(nested) > 50
    assert list(alone.value) == nested


INFO_FIELDS = {
    "server": {
        "redis_version",
        "process_id",
        "tcp_port",
        "uptime_in_seconds",
        "run_id",
        "redis_mode",
    },
    "clients": {
        *("connected_clients", "maxclients", "blocked_clients", "tracking_clients"),
        *("client_recent_max_input_buffer", "client_recent_max_output_buffer"),
    },
    "memory": {"used_memory", "used_memory_human", "maxmemory", "maxmemory_policy"},
    "stats": {
        "total_connections_received",
        "total_commands_processed",
        "expired_keys",
        "keyspace_hits",
        *("expired_stale_perc", "expired_time_cap_reached_count", "total_reads_processed"),
        *("expire_cycle_cpu_milliseconds", "total_writes_processed", "evicted_clients"),
        *("total_eviction_exceeded_time", "current_eviction_exceeded_time", "pubsub_channels"),
    },
}


# Of Redis 7.4 (its INFO reference), which the oracle does not have yet.
NEWER_FIELDS = {
    "clients": {
        "pubsub_clients",
        "watching_clients",
        "total_watched_keys",
        "total_blocking_keys",
        "total_blocking_keys_on_nokey",
    },
    "stats": {"expired_subkeys"},
}


def _info(reply: Reply) -> dict[str, dict[str, str]]:
    sections: dict[str, dict[str, str]] = {}
    for line in text_of(reply).split("\r\n"):
        if line.startswith("# "):
            current = sections.setdefault(line[2:].lower(), {})
        elif line:
            name, _, value = line.partition(":")
            current[name] = value
    return sections


@pytest.mark.parametrize("protocol", [2, 3])
def test_info_has_its_fields(subject: Server, protocol: int) -> None:
    with subject.connect() as connection:
        connection.do("HELLO", protocol)
        reply = connection.do("INFO")
        assert reply.kind == ("bulk" if protocol == 2 else "verbatim")
        sections = _info(reply)
        for section, fields in INFO_FIELDS.items():
            assert fields <= set(sections[section]), f"section {section} lacks fields"
        assert sections["server"]["tcp_port"] == str(subject.port)
        assert sections["server"]["process_id"] == str(subject.pid)


def test_info_invents_no_field(ours: Server, oracle: Oracle) -> None:
    """What stands under one of Redis's titles is a field of Redis's there."""
    everything = case("info-everything", "INFO everything")
    (theirs,) = oracle.transcript(everything)[0].replies
    (mine,) = play(everything, ours)[0].replies
    known = _info(theirs)
    own = {"commandstats", "errorstats", "latencystats", "keyspace", "kevyrt"}
    assert set(_info(mine)) <= {*known, "kevyrt"}
    for section, fields in _info(mine).items():
        newer = NEWER_FIELDS.get(section, set())
        assert section in own or set(fields) <= set(known[section]) | newer
        assert newer <= set(fields)
        assert all(fields.values()), f"section {section} has empty fields"


def test_info_about_persistence_is_complete(ours: Server, oracle: Oracle) -> None:
    """Redis 7.4 has the fields of 7.0, in their order."""
    ask = case("info-persistence", "INFO persistence")
    (theirs,) = oracle.transcript(ask)[0].replies
    (mine,) = play(ask, ours)[0].replies
    known = _info(theirs)["persistence"]
    fields = _info(mine)["persistence"]
    assert list(fields) == list(known)
    settled = {
        *("loading", "async_loading", "current_fork_perc", "rdb_bgsave_in_progress"),
        *("rdb_last_bgsave_status", "rdb_current_bgsave_time_sec", "rdb_last_cow_size"),
        *("aof_enabled", "aof_last_rewrite_time_sec", "aof_last_write_status"),
    }
    assert {name: fields[name] for name in settled} == {name: known[name] for name in settled}


def test_info_of_one_section(subject: Server) -> None:
    with subject.connect() as connection:
        assert set(_info(connection.do("INFO", "server"))) == {"server"}
        assert set(_info(connection.do("INFO", "CLIENTS", "memory"))) == {"clients", "memory"}
        assert {"server", "clients", "memory", "stats"} <= set(_info(connection.do("INFO", "all")))


def test_info_groups_of_sections(subject: Server) -> None:
    with subject.connect() as connection:
        default = list(_info(connection.do("INFO")))
        assert list(_info(connection.do("INFO", "default"))) == default
        everything = list(_info(connection.do("INFO", "Everything")))
        assert set(default) < set(everything)
        assert list(_info(connection.do("INFO", "keyspace", "commandstats", "server"))) == [
            section for section in everything if section in ("server", "commandstats", "keyspace")
        ]
        assert "commandstats" in everything and "commandstats" not in default


def test_info_counts_calls(subject: Server) -> None:
    with subject.connect() as connection:
        assert connection.do("CONFIG", "RESETSTAT").value == b"OK"
        connection.pipeline([("INCR", key) for key in subject.spread(7)])
        calls = _info(connection.do("INFO", "commandstats"))["commandstats"]
    assert calls["cmdstat_incr"].split(",")[0] == "calls=7"


def test_info_tells_time_and_failures_of_commands(subject: Server) -> None:
    with subject.connect() as connection:
        assert connection.do("CONFIG", "RESETSTAT").value == b"OK"
        key = subject.spread(1)[0]
        connection.pipeline([("SET", key, "v"), ("INCR", key), ("GET",), ("GET", key)])
        info = _info(connection.do("INFO", "everything"))
    commands, latencies = info["commandstats"], info["latencystats"]
    assert re.fullmatch(
        r"calls=1,usec=\d+,usec_per_call=\d+\.\d\d,rejected_calls=0,failed_calls=1",
        commands["cmdstat_incr"],
    )
    assert commands["cmdstat_get"].startswith("calls=1,")
    assert ",rejected_calls=1,failed_calls=0" in commands["cmdstat_get"]
    assert info["errorstats"] == {"errorstat_ERR": "count=2"}
    assert info["stats"]["total_error_replies"] == "2"
    percentiles = dict(
        part.split("=") for part in latencies["latency_percentiles_usec_set"].split(",")
    )
    assert list(percentiles) == ["p50", "p99", "p99.9"]
    assert all(0 < float(value) < 1e6 for value in percentiles.values())


def test_info_percentiles_are_a_setting(own: Callable[..., Server]) -> None:
    with own().connect() as connection:
        assert (
            connection.do("CONFIG", "SET", "latency-tracking-info-percentiles", "0 25.5 100") == OK
        )
        connection.do("PING")
        line = _info(connection.do("INFO", "latencystats"))["latencystats"]
        names = [
            part.partition("=")[0] for part in line["latency_percentiles_usec_ping"].split(",")
        ]
        assert names == ["p0", "p25.5", "p100"]
        assert connection.do("CONFIG", "SET", "latency-tracking", "no") == OK
        assert _info(connection.do("INFO", "latencystats"))["latencystats"] == {}


def test_info_memory_follows_the_data(own: Callable[..., Server]) -> None:
    server = own()
    if server.is_redis:
        pytest.skip("Redis keeps the room of large requests for a while, and counts it")
    with server.connect() as connection:

        def memory() -> dict[str, int]:
            fields = _info(connection.do("INFO", "memory"))["memory"]
            return {name: int(value) for name, value in fields.items() if value.isdigit()}

        before = memory()
        connection.do("SET", "large", b"x" * 3_000_000)
        time.sleep(0.15)  # resident memory is looked at ten times a second
        full = memory()
        connection.do("DEL", "large")
        after = memory()
    assert full["used_memory"] - before["used_memory"] >= 3_000_000
    assert after["used_memory"] < before["used_memory"] + 200_000
    assert after["used_memory_peak"] >= full["used_memory"] > after["used_memory"]
    assert full["used_memory_rss"] > full["used_memory"]
    assert full["total_system_memory"] > full["used_memory_rss"]


def test_info_rates_rise_under_load(ours: Server) -> None:
    with ours.connect() as connection:
        for _ in range(8):
            connection.pipeline([("PING",)] * 500)
            time.sleep(0.03)
        stats = _info(connection.do("INFO", "stats"))["stats"]
    assert int(stats["instantaneous_ops_per_sec"]) > 1000
    assert float(stats["instantaneous_input_kbps"]) > 1
    assert int(stats["total_net_input_bytes"]) >= 8 * 500 * len(b"*1\r\n$4\r\nPING\r\n")


def test_info_keyspace_knows_how_long_keys_live(subject: Server) -> None:
    with subject.connect() as connection:
        keys = subject.spread(6)
        connection.pipeline([("SET", key, "v", "EX", 100) for key in keys])
        time.sleep(0.15)  # Redis takes the mean of what its cycle has seen
        line = _info(connection.do("INFO", "keyspace"))["keyspace"]["db0"]
    fields = dict(part.split("=") for part in line.split(","))
    assert fields["keys"] == fields["expires"] == "6"
    assert 0 <= int(fields["avg_ttl"]) <= 100_000


def test_info_of_many_databases(own: Callable[..., Server]) -> None:
    with own("--databases", "1500").connect() as connection:
        for db in range(1500):
            connection.pipeline([("SELECT", db), ("SET", "k", "v")])
        keyspace = _info(connection.do("INFO"))["keyspace"]
    assert list(keyspace) == [f"db{db}" for db in range(1500)]
    assert all(value.startswith("keys=1,expires=0,") for value in keyspace.values())


def test_debug_for_local_clients(own: Callable[..., Server]) -> None:
    server = own("--enable-debug-command", "local", host="127.0.0.1")
    command = ("DEBUG", "KEVYRT-SHARD", "k")
    with server.connect() as near, server.connect(source="127.0.0.2") as far:
        assert b"DEBUG command not allowed" in far.do(*command).value
        assert near.do(*command).kind == ("error" if server.is_redis else "integer")
        assert "not allowed" not in str(near.do(*command).value)
    with Connection(server.unix_path) as beside:
        assert "not allowed" not in str(beside.do(*command).value)


def test_debug_is_off_by_default(own: Callable[..., Server]) -> None:
    with own("--enable-debug-command", "no").connect() as connection:
        reply = connection.do("DEBUG", "KEVYRT-SHARD", "k")
    assert reply.kind == "error" and b"DEBUG command not allowed" in reply.value


def test_info_counts(subject: Server) -> None:
    with subject.connect() as connection, subject.connect() as other:
        assert other.do("PING").kind == "simple"
        before = _info(connection.do("INFO"))
        keys = subject.spread(6)
        connection.pipeline([("SET", key, "v") for key in keys])
        connection.do("EXPIRE", keys[0], 1000)
        connection.do("GET", keys[1])
        connection.do("GET", "no such key")
        connection.do("SELECT", 3)
        connection.do("SET", keys[0], "v")
        after = _info(connection.do("INFO"))

    def grown(field: str) -> int:
        return int(after["stats"][field]) - int(before["stats"][field])

    assert int(after["clients"]["connected_clients"]) >= 2
    assert grown("keyspace_hits") == 1
    assert grown("keyspace_misses") == 1
    assert grown("total_commands_processed") >= 10
    assert after["keyspace"]["db0"].startswith("keys=6,expires=1,")
    assert after["keyspace"]["db3"].startswith("keys=1,expires=0,")


def test_info_names_the_backend(ours: Server) -> None:
    with ours.connect() as connection:
        fields = _info(connection.do("INFO", "kevyrt"))["kevyrt"]
    assert fields["io_backend"] == ours.configuration.io
    assert "io_backend_reason" in fields
