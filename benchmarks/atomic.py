"""CPU of transactions beside redis-server, and what tracking and monitoring cost when they are off.

Both servers run at the same time and are played the same bytes, in turns; ratios are taken within a
round. Every reply is counted, none may be an error, and replies have as many bytes as Redis's.
Before each turn all keys hold another value; afterwards sampled keys hold what the last transaction
that names them has written, and the others what was there before.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import (
    KEY_FORMAT,
    REDIS,
    VALUE_BYTES,
    Placement,
    ServerProcess,
    Subject,
    Unavailable,
    WrongData,
    apart,
    fill,
    for_two_threads,
    median,
    paired_ratio,
    plain_server,
    read_values,
    running,
)
from replay import batches, replay, require_commands
from report import Figure, Options, Section, main, number
from resp import encode
from wire import KEYS as WIRE_KEYS
from wire import Comparison

CONNECTIONS = 50
KEYS = 10_000
WRITES = 5
COMMANDS = WRITES + 2  # with MULTI and EXEC
TRANSACTIONS = 40_000
QUICK_TRANSACTIONS = 2_000
SAMPLE = 1_000
PRIMED = "p"
DEBUG = ("--enable-debug-command", "yes")
OURS = Subject("kevyrt")
OURS_TWO = Subject("kevyrt", threads=2, options=DEBUG)
ONE_HALF = 0.5

OFF_ROUNDS = 9
OFF_GOAL = 1.02


# Prepared bytes


@dataclass
class Play:
    """Transactions as bytes, and the value of each key at their end."""

    file: Path
    count: int  # of commands
    written: dict[int, bytes]


def _value(transaction: int) -> bytes:
    return b"%08d" % transaction + b"t" * (VALUE_BYTES - 8)


def _names(shards: Sequence[Sequence[int]], connection: int, draws: random.Random) -> list[int]:
    """The keys of a transaction: a connection's own, and as many of each shard as can be."""
    own = [[n for n in shard if n % CONNECTIONS == connection] for shard in shards]
    return [draws.choice(own[i % len(own)]) for i in range(WRITES)]


def _prepare(folder: str, shards: Sequence[Sequence[int]], transactions: int) -> Play:
    lines: list[list[bytes]] = [[] for _ in range(CONNECTIONS)]
    draws = random.Random(1)
    written = {}
    for transaction in range(transactions):
        connection = transaction % CONNECTIONS
        keys = _names(shards, connection, draws)
        value = _value(transaction)
        sets = [encode("SET", KEY_FORMAT.format(key), value) for key in keys]
        lines[connection] += [encode("MULTI"), *sets, encode("EXEC")]
        written |= dict.fromkeys(keys, value)
    file = Path(folder) / "transactions"
    file.write_bytes(batches(lines))
    return Play(file, transactions * COMMANDS, written)


def _keys_by_shard(server: ServerProcess) -> list[list[int]]:
    """All keys, by the shard on which our server has them."""
    shards: list[list[int]] = [[] for _ in range(server.subject.threads)]
    with server.connect() as wire:
        asked = [("DEBUG", "KEVYRT-SHARD", KEY_FORMAT.format(n)) for n in range(KEYS)]
        for n, shard in enumerate(wire.pipeline(asked)):
            shards[shard].append(n)
    return shards


# One turn


def _turn(server: ServerProcess, play: Play, at: Placement) -> tuple[float, int]:
    """CPU per command in nanoseconds, and the bytes of all replies."""
    fill(server, 0, KEYS, at.client, PRIMED)
    done = replay(server, play.file, play.count, at.client)
    sample = random.sample(range(KEYS), SAMPLE)
    with server.connect() as wire:
        for n, value in zip(sample, read_values(server, wire, sample), strict=True):
            if value != play.written.get(n, PRIMED.encode() * VALUE_BYTES):
                raise WrongData(f"{server.subject.name}: {KEY_FORMAT.format(n)} holds {value!r}")
    return done.cpu_ns / play.count, done.reply_bytes


def _compare(options: Options, ours: Subject, at: Placement) -> dict[Subject, list[float]]:
    """CPU per command of each turn."""
    spent: dict[Subject, list[float]] = {ours: [], REDIS: []}
    count = QUICK_TRANSACTIONS if options.quick else TRANSACTIONS
    with (
        tempfile.TemporaryDirectory(prefix="kevyrt-atomic-") as folder,
        running((REDIS, ours), at.server) as (servers, missing),
    ):
        if missing:
            raise Unavailable("; ".join(missing))
        require_commands(servers, "EXEC")
        shards = _keys_by_shard(servers[ours]) if ours.threads > 1 else [range(KEYS)]
        play = _prepare(folder, shards, count)
        for _ in range(options.rounds):
            sizes = set()
            for subject, server in servers.items():
                cpu_ns, size = _turn(server, play, at)
                spent[subject].append(cpu_ns)
                sizes.add(size)
            if len(sizes) > 1:
                raise WrongData(f"replies of {sizes} bytes: they are not alike")
    return spent


def transactions(options: Options) -> Section:
    title = f"Transactions: MULTI, {WRITES} SETs, EXEC, pipelined"
    section = Section(title, notes=[f"one shard: {apart()}; two shards: {for_two_threads()}."])
    for what, ours, at, goal in (
        ("one shard", OURS, apart(), ONE_HALF),
        ("keys on two shards, two threads", OURS_TWO, for_two_threads(), 1.0),
    ):
        what = f"{what}: CPU per command against Redis"
        try:
            spent = _compare(options, ours, at)
        except Unavailable as reason:
            section.figures.append(Figure(what, None, "", goal))
            section.notes.append(f"not measured: {what}: {reason}")
            continue
        texts = [f"{s.name} {number(median(values))} ns" for s, values in spent.items()]
        ratio = paired_ratio(spent[ours], spent[REDIS])
        section.figures.append(Figure(what, ratio, "", goal, beside=", ".join(texts)))
        section.raw += [{"what": what, "subject": s.name, "ns": v} for s, v in spent.items()]
    return section


# What is off


def features_off(options: Options) -> Section:
    """P=64 beside a build of an earlier commit, which knew nothing of them."""
    if options.before is None:
        raise Unavailable("--before names no build of an earlier commit")
    before = Subject("before", program=options.before.resolve())
    after = Subject("after", program=plain_server(), options=("--slowlog-log-slower-than", "-1"))
    rounds = 1 if options.quick else max(OFF_ROUNDS, options.rounds)
    paired = Options(options.quick, rounds)
    comparison = Comparison(paired, (before, after), (64,), WIRE_KEYS, apart())
    section = comparison.section("Tracking, notifications, MONITOR and slow log, off", [])
    for test, goal in (("get", OFF_GOAL), ("set", None)):
        ratio = comparison.ratio(after, before, test, 64)
        beside = comparison.cpu_text((after, before), test, 64)
        what = f"{test.upper()} P=64: CPU against the build before, {rounds} rounds"
        section.figures.append(Figure(what, ratio, "", goal, beside=beside))
    return section


if __name__ == "__main__":
    main(__doc__, transactions, features_off)
