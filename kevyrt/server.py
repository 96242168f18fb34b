"""The server class."""

import atexit
import os
import weakref

from kevyrt import _core

_servers: "weakref.WeakSet[Server]" = weakref.WeakSet()


class Server(_core.Server):
    """A Redis-compatible server in this process; see the methods of its C half.

    ``Server(*, port=0, bind="127.0.0.1", unixsocket=None, threads=1, io="auto", **config)``: port 0
    takes any free one, None means no TCP; other names are Redis's settings with ``_`` for ``-``.
    """

    def __init__(self, **config: object) -> None:
        _servers.add(self)

    @property
    def url(self) -> str:
        """The URL that redis-py understands."""
        if self.port:
            return f"redis://127.0.0.1:{self.port}/0"
        return f"unix://{self.setting('unixsocket')}"


@atexit.register
def _stop_all() -> None:
    for server in list(_servers):
        server.stop()


os.register_at_fork(after_in_child=_core.mark_forked)
