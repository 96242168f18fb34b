"""The settings: their page, and Redis's names, defaults, values and words for what is wrong."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from harness.matrix import REDIS
from harness.process import Server
from harness.resp import OK

from kevyrt import _core

REPOSITORY = Path(__file__).resolve().parents[1]

# What the harness, or the place where a server runs, decides.
SET_AT_START = {
    *("port", "bind", "unixsocket", "dir", "logfile", "protected-mode", "enable-debug-command"),
}
# Redis does more with these than keep them: it clamps, allocates, or asks the machine; and loglevel
# has a newer word.
NOT_PROBED = {
    *("activedefrag", "hz", "loglevel", "maxclients", "maxmemory", "oom-score-adj"),
    *("proto-max-bulk-len", "repl-backlog-size"),
}
# Not among them: the empty text, which Redis takes for 0 bytes and we for a mistake.
PROBES = {
    "BOOL": ["yes", "no", "YES", "1", ""],
    "INTEGER": ["0", "1", "7", "-1", "007", "x", "", "1.5", "2147483648", "9223372036854775808"],
    "MEMORY": ["0", "1", "2097152", "3mb", "2G", "3kB", "5b", "-1", "1x", "007", "1.5gb"],
    "MEMORY_OR_PERCENT": ["0", "5%", "100%", "101%", "1.5%", "3mb", "%", "x"],
    "EVENTS": ["", "KEA", "AmKn", "nmEKdtexzhsl$g", "KEg$lshzxetd", "gggg", "q", "Kx"],
    "SCORES": ["0 200 800", "5 4 3", "-2000 0 2000", "1 2", "1 2 3 4", "1 2 2001", "a b c"],
    "PERCENTILES": ["", "50 99 99.9", "0.0 100.0 0.001", "100.1", "-1", "50 x", "7"],
    "SAVE": ["", "900 1", "900 1 300 10", "900", "0 1", "1 -1", "a b", "1 0"],
    "BUFFER_LIMITS": [
        *("normal 0 0 0", "replica 1kb 2 3", "slave 1 2 3 pubsub 4mb 5 6", "normal 1 2"),
        *("foo 1 2 3", "normal x 1 1", "normal 1 2 -3", ""),
    ],
}
WORDS_PROBED = ["nosuch", ""]


def load_script() -> ModuleType:
    path = REPOSITORY / "scripts" / "settings_page.py"
    spec = importlib.util.spec_from_file_location("settings_page", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["settings_page"] = module  # its dataclass asks for it
    spec.loader.exec_module(module)
    return module


settings_page = load_script()
SETTINGS = list(settings_page.settings())


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with Server(REDIS) as server:
        yield server


def configuration(server: Server) -> dict[str, str]:
    words = [word.value.decode() for word in server.control().do("CONFIG", "GET", "*").value]
    return dict(zip(words[::2], words[1::2], strict=True))


# ---- The page ------------------------------------------------------------------------------------


def test_the_page_is_what_the_table_says() -> None:
    assert settings_page.PAGE.read_text() == settings_page.page(), "python scripts/settings_page.py"


def test_every_row_is_on_the_page() -> None:
    rows = re.findall(r"^SETTING\(", settings_page.DEFINITIONS.read_text(), re.MULTILINE)
    names = [name for s in SETTINGS for name in (s.name, s.alias) if name]
    assert len(SETTINGS) == len(rows) > 150
    assert len(set(names)) == len(names)
    assert {s.effect for s in SETTINGS} == {"ours", "accepted", "ignored", "refused"}


def test_the_page_says_what_the_server_shows() -> None:
    server = _core.Server([])
    assert {s.name: s.default for s in SETTINGS} == {
        s.name: server._setting(s.name) for s in SETTINGS
    }


REFUSED = [s for s in SETTINGS if s.effect == "refused"]


@pytest.mark.parametrize("setting", REFUSED, ids=lambda s: s.name)
def test_what_is_refused_says_why(setting: Any) -> None:
    value = {"BOOL": "yes", "REPLICA": "host 6379"}.get(setting.kind, "1")
    with pytest.raises(ValueError, match=re.escape(f"{setting.name} {value}")) as raised:
        _core.Server([(setting.name, value)])
    assert setting.note and setting.note in str(raised.value)


# ---- Against Redis -------------------------------------------------------------------------------


def test_every_setting_of_redis_is_known(redis: Server) -> None:
    names = {name for s in SETTINGS for name in (s.name, s.alias)}
    theirs = configuration(redis)
    assert len(theirs) > 150
    assert not theirs.keys() - names


def test_defaults_are_those_of_redis(redis: Server) -> None:
    ours = {name: s.default for s in SETTINGS for name in (s.name, s.alias) if name}
    theirs = configuration(redis)
    different = {
        name: (ours[name], value)
        for name, value in theirs.items()
        if name not in SET_AT_START and ours[name] != value
    }
    assert not different


def probes(setting: Any) -> list[str]:
    if setting.kind in ("ENUM", "FLAGS"):
        words = setting.arguments[0].strip('"').split()
        several = [" ".join(reversed(words[1:]))] if setting.kind == "FLAGS" else []
        return [*words, words[-1].upper(), *several, *WORDS_PROBED]
    return PROBES.get(setting.kind, [])


def theirs_after(redis: Server, name: str, value: str) -> str | None:
    """What Redis shows after CONFIG SET, or why it refuses; None: it is set at start only."""
    reply = redis.control().do("CONFIG", "SET", name, value)
    if reply == OK:
        return redis.control().do("CONFIG", "GET", name).value[1].value.decode()
    text = reply.value.decode()
    if "immutable" in text or "protected" in text:
        return None
    return "refused: " + text.partition(" - ")[2]


def ours_after(name: str, value: str) -> str:
    try:
        settings = _core.parse_options([f"--{name}", value])
        return _core.Server(settings)._setting(name)
    except ValueError as error:
        return "refused: " + str(error).partition(f"for '{name}': ")[2]


def probed() -> list[Any]:
    return [
        setting
        for setting in SETTINGS
        if probes(setting) and setting.name not in NOT_PROBED and setting.group != "TLS"
    ]


@pytest.mark.parametrize("setting", probed(), ids=lambda s: s.name)
def test_values_are_taken_as_redis_takes_them(redis: Server, setting: Any) -> None:
    if setting.name not in configuration(redis):
        pytest.skip("newer than the redis-server that is installed")
    wrong = []
    for value in probes(setting):
        theirs = theirs_after(redis, setting.name, value)
        if theirs is None:
            pytest.skip("Redis sets it at start only")
        ours = ours_after(setting.name, value)
        taken = not theirs.startswith("refused")
        if taken and setting.effect in ("ignored", "refused"):
            continue
        if ours != theirs:
            wrong.append((value, ours, theirs))
    redis.control().do("CONFIG", "SET", setting.name, setting.default)
    assert not wrong
