"""LATENCY: events of the monitor, the reports about them, and the distributions of commands."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from harness.cases import MASKED, Case, Do, Near, case, in_both_protocols, unordered
from harness.client import Connection, connections
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply

Start = Callable[..., Server]

ON = "CONFIG SET latency-monitor-threshold 20"
OFF = "CONFIG SET latency-monitor-threshold 0"


def _coarse(reply: Reply) -> Reply:
    """A time of sleeping, give or take what a busy machine adds."""
    return Reply("ms", Near(reply.value, 40)) if reply.kind == "integer" else reply


def mask_latest(reply: Reply) -> Reply:
    events = []
    for event in reply.value:
        name, at, last, most = event.value
        assert abs(at.value - time.time()) < 5000
        events.append(Reply("array", (name, MASKED, _coarse(last), _coarse(most))))
    return Reply("array", tuple(events))


def mask_history(reply: Reply) -> Reply:
    pairs = [Reply("array", (MASKED, _coarse(pair.value[1]))) for pair in reply.value]
    return Reply("array", tuple(pairs))


def mask_graph(reply: Reply) -> Reply:
    text = re.sub(rb"\d+ ms", b"N ms", reply.value)
    head, rule, *rows = text.split(b"\n")
    return Reply(reply.kind, b"\n".join([head, rule, *rows[:5]]))


def mask_buckets(reply: Reply) -> Reply:
    """How often the commands were called; the times are the machine's."""
    return unordered(_without_times(reply))


def _without_times(reply: Reply) -> Reply:
    items = reply.value
    if reply.kind == "map":
        pairs = tuple((name, _calls(inner)) for name, inner in items)
        return Reply("map", pairs)
    if reply.kind != "array":
        return reply
    flat = [_calls(item) if at % 2 else item for at, item in enumerate(items)]
    return Reply("array", tuple(Reply("pair", p) for p in zip(flat[::2], flat[1::2], strict=True)))


def _calls(inner: Reply) -> Reply:
    fields = (
        inner.value if inner.kind == "map" else tuple(zip(*[iter(inner.value)] * 2, strict=True))
    )
    (calls_name, calls), (buckets_name, buckets) = fields
    flat = buckets.value
    counts = [v for _, v in flat] if buckets.kind == "map" else list(flat[1::2])
    assert counts[-1] == calls
    return Reply("calls", (calls_name, calls, buckets_name, Reply(buckets.kind, ())))


CASES = [
    case(
        "latency-errors",
        "LATENCY",
        "LATENCY NOPE",
        "LATENCY LATEST x",
        "LATENCY HISTORY",
        "LATENCY HISTORY nope",
        "LATENCY HISTORY Command",
        "LATENCY GRAPH",
        "LATENCY GRAPH nope",
        "LATENCY DOCTOR x",
        "LATENCY RESET nope",
        "LATENCY HELP x",
        "LATENCY HELP",
    ),
    *in_both_protocols(
        "latency-events",
        "LATENCY RESET",
        OFF,
        "DEBUG SLEEP 0.03",
        Do("LATENCY LATEST"),
        ON,
        "DEBUG SLEEP 0.001",
        Do("LATENCY LATEST"),
        "DEBUG SLEEP 0.06",
        Do("LATENCY LATEST", mask=mask_latest),
        Do("LATENCY HISTORY command", mask=mask_history),
        Do("LATENCY HISTORY fast-command"),
        Do("LATENCY GRAPH command", mask=mask_graph),
        "LATENCY RESET nope",
        "LATENCY RESET fast-command command nope command",
        "LATENCY LATEST",
        "LATENCY GRAPH command",
        "DEBUG SLEEP 0.06",
        "LATENCY RESET",
        "LATENCY RESET",
        OFF,
    ),
    *in_both_protocols(
        "latency-histogram",
        "CONFIG RESETSTAT",
        "LATENCY HISTOGRAM set nope",
        "SET $0 v",
        "SET $1 v",
        "SET $2 v",
        "GET $0",
        "SET $0 v",
        "CLIENT GETNAME",
        "CLIENT ID x",
        "ECHO x",
        Do("LATENCY HISTOGRAM set", mask=mask_buckets),
        Do("LATENCY HISTOGRAM SET get nope client", mask=mask_buckets),
        Do("LATENCY HISTOGRAM client|getname", mask=mask_buckets),
        Do("LATENCY HISTOGRAM", mask=mask_buckets),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_latency(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def _report(connection: Connection) -> bytes:
    return connection.do("LATENCY", "DOCTOR").value


def test_the_doctor_tells_what_was_seen(ours: Server) -> None:
    with connections(ours.address, 1) as (control,):
        control.do("LATENCY", "RESET")
        control.do("CONFIG", "SET", "latency-monitor-threshold", 0)
        assert b"off" in _report(control)
        control.do("CONFIG", "SET", "latency-monitor-threshold", 10)
        assert b"No latency spike" in _report(control)
        control.do("DEBUG", "SLEEP", "0.03")
        report = _report(control)
        assert b"1. command: 1 latency spikes (average " in report
        assert b"SLOWLOG" in report
        control.do("CONFIG", "SET", "latency-monitor-threshold", 0)
        control.do("LATENCY", "RESET")


def test_each_second_has_its_worst(ours: Server) -> None:
    with connections(ours.address, 1) as (control,):
        control.do("LATENCY", "RESET")
        control.do("CONFIG", "SET", "latency-monitor-threshold", 5)
        time.sleep(1 - time.time() % 1 + 0.01)
        for ms in (6, 30, 10):
            control.do("DEBUG", "SLEEP", ms / 1000)
        history = control.do("LATENCY", "HISTORY", "command").value
        assert len(history) == 1
        assert 30 <= history[0].value[1].value < 300
        control.do("CONFIG", "SET", "latency-monitor-threshold", 0)
        control.do("LATENCY", "RESET")
