"""Two thousand clients that wait, and are served in their order, for next to nothing.

The long version, with as many as the limits allow, is `./test --long crowd`.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.blockers import hurry
from harness.crowd import Scale, most_clients, play_crowd
from harness.process import Server

SCALE = Scale(clients=2000, lists=100, channels=1000, channels_each=3, idle_s=0.5)


def test_crowd(own: Callable[..., Server]) -> None:
    assert most_clients(SCALE.clients) == SCALE.clients, "the limit on descriptors is too low"
    server = own("--maxclients", "3000")
    hurry(server)
    print(play_crowd(server, SCALE))
