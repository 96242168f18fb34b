"""Streams."""

from __future__ import annotations

from typing import Any

from kevyrt.commands import results
from kevyrt.commands.base import Face, Key, Value


class StreamCommands(Face):
    __slots__ = ()

    def xautoclaim(
        self,
        name: Key,
        groupname: Value,
        consumername: Value,
        min_idle_time: int,
        start_id: Value = "0-0",
        count: int | None = None,
        justid: bool = False,
    ) -> list[Any]:
        """Takes over what a group's consumers have been silent about.

        Args:
            name: the key.
            groupname: the group.
            consumername: who takes it over.
            min_idle_time: how long nothing was heard of an entry, in milliseconds.
            start_id: where the search begins.
            count: how many entries are looked at; 100 by default.
            justid: returns the ids alone, and counts no delivery.

        Returns:
            Where the next search begins, the entries [(id, {field: value}), ...], and the ids of
            those that are in the stream no more.

        Raises:
            NoGroupError: there is no such key or group.
        """
        words: list[Value] = [name, groupname, consumername, min_idle_time, start_id]
        if count is not None:
            words += ("COUNT", count)
        result = results.claimed_ids if justid else results.claimed_entries
        return self._run(result, "XAUTOCLAIM", *words, *["JUSTID"] * justid)  # type: ignore[no-any-return]

    def xinfo_consumers(self, name: Key, groupname: Value) -> list[dict[str, Any]]:
        """Of each consumer of a group: `name`, `pending`, `idle` and `inactive` (milliseconds).

        Raises:
            NoGroupError: there is no such group.
            ResponseError: there is no such key.
        """
        return self._run(results.str_keys_of_each, "XINFO", "CONSUMERS", name, groupname)  # type: ignore[no-any-return]

    def xinfo_groups(self, name: Key) -> list[dict[str, Any]]:
        """Of each group of a stream: `name`, `consumers`, `pending`, `last-delivered-id`, `lag`...

        Raises:
            ResponseError: there is no such key.
        """
        return self._run(results.str_keys_of_each, "XINFO", "GROUPS", name)  # type: ignore[no-any-return]

    def xinfo_stream(self, name: Key, full: bool = False) -> dict[str, Any]:
        """Of a stream: `length`, `last-generated-id`, `first-entry`, `last-entry`, `groups`...

        Args:
            name: the key.
            full: its entries, groups and consumers in detail as well.

        Raises:
            ResponseError: there is no such key.
        """
        result = results.stream_in_full if full else results.stream
        return self._run(result, "XINFO", "STREAM", name, *["FULL"] * full)  # type: ignore[no-any-return]

    def xpending(self, name: Key, groupname: Value) -> dict[str, Any]:
        """What a group was given and has not acknowledged: `pending` (how many), `min` and `max`
        (ids), `consumers` ([{`name`, `pending`}, ...]).

        Raises:
            NoGroupError: there is no such key or group.
        """
        return self._run(results.pending, "XPENDING", name, groupname)  # type: ignore[no-any-return]

    def xpending_range(
        self,
        name: Key,
        groupname: Value,
        min: Value | None,
        max: Value | None,
        count: int | None,
        consumername: Value | None = None,
        idle: int | None = None,
    ) -> Any:
        """What a group was given and has not acknowledged, one by one.

        Args:
            name: the key.
            groupname: the group.
            min, max: the range of ids; `-` and `+` are the ends.
            count: how many at most. If all three are None, it is xpending().
            consumername: only what this consumer was given.
            idle: only what nothing was heard of for so long, in milliseconds.

        Returns:
            Of each `message_id`, `consumer`, `time_since_delivered` (ms) and `times_delivered`.

        Raises:
            ValueError: only some of `min`, `max` and `count`.
            NoGroupError: there is no such key or group.
        """
        words: list[Value] = [] if idle is None else ["IDLE", idle]
        if min is None or max is None or count is None:
            if (min, max, count, consumername, idle) != (None,) * 5:
                raise ValueError("'min', 'max' and 'count' go together")
            return self.xpending(name, groupname)
        words += (min, max, count)
        if consumername is not None:
            words.append(consumername)
        return self._run(results.pending_entries, "XPENDING", name, groupname, *words)
