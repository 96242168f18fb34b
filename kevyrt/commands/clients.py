"""Clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kevyrt import _core
from kevyrt.commands import results
from kevyrt.commands.base import Face, Value


class ClientCommands(Face):
    __slots__ = ()

    def client_info(self) -> dict[str, Any]:
        """What CLIENT INFO says of a session itself: `id`, `name`, `db`, `age` (seconds)...

        Raises:
            ResponseError: it is no session.
        """
        return self._run(results.client, "CLIENT", "INFO")  # type: ignore[no-any-return]

    def client_list(
        self, _type: str | None = None, client_id: Sequence[int] = ()
    ) -> list[dict[str, str]]:
        """Everybody who is connected.

        Args:
            _type: only `normal`, `master`, `replica` or `pubsub`.
            client_id: only those with these numbers.
        """
        words: list[Value] = [] if _type is None else ["TYPE", _type]
        if client_id:
            words += ("ID", *client_id)
        return self._run(results.clients, "CLIENT", "LIST", *words)  # type: ignore[no-any-return]

    def client_kill_filter(
        self,
        _id: int | None = None,
        _type: str | None = None,
        addr: str | None = None,
        skipme: bool | None = None,
        laddr: str | None = None,
        user: str | None = None,
        maxage: int | None = None,
    ) -> int:
        """Ends connections that match all of what is given; how many.

        Args:
            _id: the number of a client.
            _type: `normal`, `master`, `slave`, `replica` or `pubsub`.
            addr, laddr: `ip:port` of the client, of this side.
            skipme: does not end the caller's own.
            user: the user as which they are logged in.
            maxage: at least so old, in seconds.

        Raises:
            ResponseError: nothing is given; there is no such type or user.
        """
        skip = None if skipme is None else "YES" if skipme else "NO"
        words: list[Value] = []
        for option, value in (
            ("TYPE", _type),
            ("SKIPME", skip),
            ("ID", _id),
            ("ADDR", addr),
            ("LADDR", laddr),
            ("USER", user),
            ("MAXAGE", maxage),
        ):
            if value is not None:
                words += (option, value)
        return self._run(_core.PLAIN, "CLIENT", "KILL", *words)  # type: ignore[no-any-return]

    def client_trackinginfo(self) -> list[Any]:
        """How a session is told of keys that change: `flags`, `redirect`, `prefixes`, each with
        its value behind it.

        Raises:
            ResponseError: it is no session.
        """
        return self._run(results.flat_with_str_keys, "CLIENT", "TRACKINGINFO")  # type: ignore[no-any-return]
