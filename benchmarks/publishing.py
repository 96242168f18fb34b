"""Deliveries of publications per second of server CPU, beside redis-server.

One publisher, many subscribers of one channel (tools/fanout.c). A turn of the load ends when every
subscriber has every message, so nothing is ever dropped; every byte that a subscriber gets is
compared, and every reply of PUBLISH must be the number of subscribers. Both servers run at the same
time, in turns; ratios are taken within a round.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness import (
    REDIS,
    Placement,
    ServerProcess,
    Subject,
    Unavailable,
    WrongData,
    apart,
    median,
    paired_ratio,
    running,
)
from replay import play, require_commands
from report import Figure, Options, Section, main, number

OURS = Subject("kevyrt")
QUICK_PART = 20
GOAL = 2.0


@dataclass(frozen=True)
class Fan:
    subscribers: int
    size: int  # of a message, in bytes
    at_once: int  # messages that are published in one write
    messages: int

    @property
    def name(self) -> str:
        alone = f"{self.at_once} at once" if self.at_once > 1 else "one at a time"
        return f"{self.subscribers} subscribers, {self.size:,} bytes, {alone}"


FANS = (
    Fan(500, 16, 1, 1_000),
    Fan(500, 16, 16, 8_000),
    Fan(50, 4096, 1, 5_000),
    Fan(50, 4096, 16, 16_000),
)


def _turn(server: ServerProcess, fan: Fan, messages: int, at: Placement) -> float:
    """Deliveries per second of the server's CPU."""
    turns = max(1, messages // fan.at_once)
    played = play(server, "fanout", fan.subscribers, fan.size, turns, fan.at_once, cores=at.client)
    deliveries = int(played.said.split()[-1])
    if deliveries != fan.subscribers * turns * fan.at_once:
        raise WrongData(f"{server.subject.name}: {deliveries} deliveries")
    return deliveries / (played.cpu_ns / 1e9)


def publishing(options: Options) -> Section:
    at = apart()
    section = Section("PUBLISH: deliveries per second of server CPU", notes=[f"{at}."])
    part = QUICK_PART if options.quick else 1
    with running((REDIS, OURS), at.server) as (servers, missing):
        if missing:
            raise Unavailable("; ".join(missing))
        require_commands(servers, "SUBSCRIBE", "PUBLISH")
        for fan in FANS:
            rates: dict[Subject, list[float]] = {OURS: [], REDIS: []}
            for _ in range(options.rounds):
                for subject, server in servers.items():
                    rates[subject].append(_turn(server, fan, fan.messages // part, at))
            ratio = paired_ratio(rates[OURS], rates[REDIS])
            texts = [f"{s.name} {number(median(values))}/s" for s, values in rates.items()]
            figure = Figure(
                f"{fan.name}: against Redis", ratio, "", GOAL, True, beside=", ".join(texts)
            )
            section.figures.append(figure)
            section.raw += [
                {"fan": fan.name, "subject": s.name, "rates": v} for s, v in rates.items()
            ]
    return section


if __name__ == "__main__":
    main(__doc__, publishing)
