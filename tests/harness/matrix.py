"""The configurations every wire test runs on.

Two reactors, one shard and three. Borrowing (running a command in another shard's data in place)
matters only with several shards: `auto` mixes it with forwarding, `never` forwards everything.
With rings of 8 entries the full-queue and empty-pool paths are the usual case. `redis` is redis-
server itself: a case that does not repeat its own answers there would prove nothing elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

REACTORS = ("io_uring", "epoll")


@dataclass(frozen=True)
class Configuration:
    name: str
    io: str = "auto"
    threads: int = 1
    borrow: str = "auto"
    ring_entries: int | None = None

    @property
    def is_redis(self) -> bool:
        return self.name == "redis"

    def options(self) -> list[str]:
        """The command-line options that make a server of ours run so."""
        options = ["--threads", str(self.threads), "--io", self.io, "--debug-borrow", self.borrow]
        if self.ring_entries is not None:
            options += ["--debug-ring-entries", str(self.ring_entries)]
        return options


REDIS = Configuration("redis")


def _matrix() -> list[Configuration]:
    """Each reactor with one shard, with three that borrow or forward, and with tiny rings: what is
    left out is the other of the two ways, with rings of the usual size."""
    matrix = [REDIS]
    for io, borrow in zip(REACTORS, ("auto", "never"), strict=True):
        matrix += [
            Configuration(f"{io}-1", io, 1),
            Configuration(f"{io}-3-{borrow}", io, 3, borrow),
            Configuration(f"{io}-3-tiny", io, 3, "never", 8),
        ]
    return matrix


MATRIX = _matrix()

# Order must hold however a shard is reached: both ways on both reactors, borrowing always, and tiny
# rings with borrowing.
ORDER_MATRIX = [
    *MATRIX,
    Configuration("io_uring-3-never", "io_uring", 3, "never"),
    Configuration("epoll-3-auto", "epoll", 3, "auto"),
    *(
        configuration
        for io in REACTORS
        for configuration in (
            Configuration(f"{io}-3-always", io, 3, "always"),
            Configuration(f"{io}-3-tiny-auto", io, 3, "auto", 8),
        )
    ),
]

# Where much is played and little of it can depend on how a shard is reached.
FEW = [c for c in MATRIX if c.name in ("redis", "io_uring-3-auto", "epoll-3-never")]

# Where a test starts a server of its own with special options, one of each reactor is enough.
OWN_SERVERS = [REDIS, *(Configuration(f"{io}-2", io, 2) for io in REACTORS)]
