"""What redis-py's methods make of the replies that are rarely asked for.

Each function gets the reply decoded from RESP3: bulk strings are bytes, or str with
decode_responses. What data commands return is made in C (csrc/py/faces/results.c).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

# Fields of a client that are numbers.
_CLIENT_NUMBERS = frozenset(
    [
        "id",
        "age",
        "idle",
        "db",
        "sub",
        "psub",
        "multi",
        "qbuf",
        "qbuf-free",
        "obl",
        "argv-mem",
        "oll",
        "omem",
        "tot-mem",
    ]
)
_OBJECT_NUMBERS = ("refcount", "serializedlength", "lru", "lru_seconds_idle")
_PENDING_FIELDS = ("message_id", "consumer", "time_since_delivered", "times_delivered")


def text(value: Any) -> Any:
    """bytes as str; anything else as it is."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def str_keys(reply: dict[Any, Any]) -> dict[str, Any]:
    return {text(key): value for key, value in reply.items()}


def str_keys_of_each(reply: list[dict[Any, Any]]) -> list[dict[str, Any]]:
    return [str_keys(one) for one in reply]


def flat_with_str_keys(reply: dict[Any, Any]) -> list[Any]:
    return [word for key, value in reply.items() for word in (text(key), value)]


def pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


# ---- The server ----------------------------------------------------------------------------------


def _number(value: str) -> int | float | str:
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        return value


def _info_value(value: str) -> Any:
    """A number or text; `a,b` is a list; `a=1,b=2` is a dict."""
    parts = [part for part in value.split(",") if part]
    if "=" in value:
        split = ((part, *part.rsplit("=", 1))[-2:] for part in parts)
        return {key: _number(item) if key != item else True for key, item in split}
    return _number(value) if "," not in value else [_number(part) for part in parts]


def info(reply: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in text(reply).splitlines():
        key, colon, value = line.partition(":")
        if not line or line[0] == "#":
            continue
        if not colon:
            found.setdefault("__raw__", []).append(line)
        elif key == "module":
            found.setdefault("modules", []).append(_info_value(value))
        else:
            found[key] = _info_value(value)
    return found


def local_time(reply: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(reply)


def clock(reply: list[Any]) -> tuple[int, int]:
    seconds, microseconds = reply
    return int(seconds), int(microseconds)


def memory(reply: dict[Any, Any]) -> dict[str, Any]:
    found = str_keys(reply)
    return {
        key: str_keys(value) if isinstance(value, dict) else value for key, value in found.items()
    }


def _command(row: list[Any]) -> dict[str, Any]:
    return {
        "name": text(row[0]),
        "arity": row[1],
        "flags": [text(flag) for flag in row[2]],
        "first_key_pos": row[3],
        "last_key_pos": row[4],
        "step_count": row[5],
        "acl_categories": [text(category) for category in row[6]],
        "tips": row[7],
        "key_specifications": row[8],
        "subcommands": row[9],
    }


def commands(reply: list[Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in (_command(row) for row in reply if row)}


# ---- Clients -------------------------------------------------------------------------------------


def client(reply: Any) -> dict[str, Any]:
    fields = dict(part.split("=", 1) for part in text(reply).split())
    return {key: int(value) if key in _CLIENT_NUMBERS else value for key, value in fields.items()}


def _client_fields(line: str) -> Iterator[tuple[str, str]]:
    """A value may have spaces: the path of a Unix socket."""
    key = value = ""
    for part in line.split(" "):
        if "=" not in part:
            value += f" {part}"
            continue
        if key:
            yield key, value
        key, _, value = part.partition("=")
    if key:
        yield key, value


def clients(reply: Any) -> list[dict[str, str]]:
    return [dict(_client_fields(line)) for line in text(reply).splitlines() if line]


# ---- Keys ----------------------------------------------------------------------------------------


def debug_object(reply: Any) -> dict[str, Any]:
    """`Value at:0x... refcount:1 encoding:...`; the first word has no name."""
    fields: dict[str, Any] = dict(part.split(":") for part in f"type:{text(reply)}".split())
    for key in _OBJECT_NUMBERS:
        if key in fields:
            fields[key] = int(fields[key])
    return fields


def group_by(size: int) -> Callable[[Any], Any]:
    """Every `size` elements as a tuple."""

    def group(reply: Any) -> Any:
        if not isinstance(reply, list):
            return reply
        return list(zip(*[iter(reply)] * size, strict=True))

    return group


# ---- Streams -------------------------------------------------------------------------------------


def _entry(entry: Any) -> Any:
    return None if entry is None else (entry[0], pairs(entry[1]))


def stream(reply: dict[Any, Any]) -> dict[str, Any]:
    found = str_keys(reply)
    for key in ("first-entry", "last-entry"):
        found[key] = _entry(found[key])
    return found


def stream_in_full(reply: dict[Any, Any]) -> dict[str, Any]:
    found = str_keys(reply)
    found["entries"] = {number: pairs(fields) for number, fields in found["entries"]}
    found["groups"] = str_keys_of_each(found["groups"])
    return found


def claimed_entries(reply: list[Any]) -> list[Any]:
    reply[1] = [_entry(entry) or (None, None) for entry in reply[1]]
    return reply


def claimed_ids(reply: list[Any]) -> Any:
    return reply[1]


def pending(reply: list[Any]) -> dict[str, Any]:
    count, first, last, consumers = reply
    return {
        "pending": count,
        "min": first,
        "max": last,
        "consumers": [{"name": name, "pending": int(own)} for name, own in consumers or ()],
    }


def pending_entries(reply: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(_PENDING_FIELDS, row, strict=True)) for row in reply]
