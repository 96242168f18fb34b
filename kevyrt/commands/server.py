"""The server."""

from __future__ import annotations

import datetime
from typing import Any

from kevyrt import _core
from kevyrt.commands import results
from kevyrt.commands.base import Face, Value


class ServerCommands(Face):
    __slots__ = ()

    def info(self, section: str | None = None, *args: str) -> dict[str, Any]:
        """What INFO says, numbers as numbers.

        Args:
            section: only this section, as `memory` or `keyspace`; all the usual ones by default.
            args: others.

        >>> server.info("server")["redis_mode"]
        'standalone'
        """
        words = [] if section is None else [section, *args]
        return self._run(results.info, "INFO", *words)  # type: ignore[no-any-return]

    def lastsave(self) -> datetime.datetime:
        """When everything was saved last, or the server started; local time without a zone."""
        return self._run(results.local_time, "LASTSAVE")  # type: ignore[no-any-return]

    def time(self) -> tuple[int, int]:
        """The server's clock: seconds since 1970, and microseconds."""
        return self._run(results.clock, "TIME")  # type: ignore[no-any-return]

    def memory_stats(self) -> dict[str, Any]:
        """Where memory goes, in bytes: `peak.allocated`, `total.allocated`, `db.0`..."""
        return self._run(results.memory, "MEMORY", "STATS")  # type: ignore[no-any-return]

    def command(self) -> dict[str, dict[str, Any]]:
        """All commands: name to `name`, `arity`, `flags`, `first_key_pos`, `acl_categories`..."""
        return self._run(results.commands, "COMMAND")  # type: ignore[no-any-return]

    def command_info(self, *args: Value) -> dict[str, dict[str, Any]]:
        """Some commands, as command() has them; what is none is left out."""
        return self._run(results.commands, "COMMAND", "INFO", *args)  # type: ignore[no-any-return]

    def lolwut(self, *version_numbers: Value) -> bytes:
        """A picture, drawn in text, and the version.

        Args:
            version_numbers: the version whose picture it is, and its parameters.
        """
        words = ["VERSION", *version_numbers] if version_numbers else []
        return self._run(_core.PLAIN, "LOLWUT", *words)  # type: ignore[no-any-return]
