"""Calls of methods, as data: what is there before, which method, which arguments."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FAR = 4_102_444_800  # 2100-01-01, in seconds
FAR_DATE = datetime.datetime.fromtimestamp(FAR)


@dataclass(frozen=True)
class Call:
    method: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    before: tuple[str, ...] = ()  # commands, their words divided by spaces
    view: Callable[[Any], Any] | None = None  # what of the result is compared
    session: bool = False  # what it is about is a connection
    since: tuple[int, int] = (0, 0)  # the Redis that has it
    oracle: bool = True  # does redis-server give the same?

    def __str__(self) -> str:
        words = [shown(value) for value in self.args]
        words += [f"{name}={shown(value)}" for name, value in self.options.items()]
        return f"{self.method}({', '.join(words)})"


def shown(value: Any) -> str:
    """The same in every process."""
    return value.__name__ if callable(value) else repr(value)


CALLS: list[Call] = []


def call(method: str, *args: Any, **options: Any) -> None:
    CALLS.append(Call(method, args, options, *_context))


_context: tuple[Any, ...] = ((),)


class given:
    """The context of the calls in a `with` block."""

    def __init__(
        self,
        *before: str,
        view: Callable[[Any], Any] | None = None,
        session: bool = False,
        since: tuple[int, int] = (0, 0),
        oracle: bool = True,
    ) -> None:
        self.context = (before, view, session, since, oracle)

    def __enter__(self) -> None:
        global _context
        _context = self.context

    def __exit__(self, *_: object) -> None:
        global _context
        _context = ((),)


# ---- Views of results that cannot be the same ----------------------------------------------------


def kinds(value: Any) -> Any:
    """Types instead of values; keys stay."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return type(value), [kinds(item) for item in value]
    return type(value)


def kind(value: Any) -> Any:
    return type(value)


def in_any_order(value: Any) -> Any:
    if isinstance(value, list):
        return ["in any order", *sorted(map(in_any_order, value), key=repr)]
    if isinstance(value, tuple):
        return tuple(map(in_any_order, value))
    return value


def nearly(value: Any) -> Any:
    """Times: what is left of a thousand seconds or more is as good as all of it."""
    if isinstance(value, list):
        return [nearly(item) for item in value]
    return round(value, -1 if value < 100_000 else -5) if isinstance(value, int) else value


def keys_of(value: Any) -> Any:
    return type(value), sorted(value)
