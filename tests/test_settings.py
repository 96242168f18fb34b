"""The settings: their page, and Redis's names, defaults, values and words for what is wrong."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from harness.matrix import REDIS
from harness.process import Server
from harness.resp import OK

import kevyrt
from kevyrt import _core

REPOSITORY = Path(__file__).resolve().parents[1]

DEADLINE_S = 20

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
    "RENAMES": ["", "get fetch", "get", "nosuch x", "get set"],
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
        redis.control().do("CONFIG", "SET", setting.name, setting.default)
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


# ---- Configuration files and command lines -------------------------------------------------------

needs_redis = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server here")
FILE = r"""
# a comment
  timeout 5
syslog-ident "two words"
SAVE 900 1
save 300 10
client-output-buffer-limit normal 1kb 2 3
client-output-buffer-limit pubsub 4mb 5 6
masteruser "\x41 b\"c\\"
replica-announce-ip 'single \'q\' "d"'
slave-priority 7
cluster-announce-ip ""
oom-score-adj-values 1 2 3
tcp-keepalive 10
tcp-keepalive 20
"""
FROM_FILE = {
    **{"timeout": "5", "syslog-ident": "two words", "replica-priority": "7"},
    **{"replica-announce-ip": "single 'q' \"d\"", "masteruser": 'A b"c\\'},
    **{"oom-score-adj-values": "1 2 3", "cluster-announce-ip": "", "tcp-keepalive": "20"},
}
LINES = [
    ["--timeout", "3", "--timeout", "4"],
    ["--timeout 3"],
    ["--syslog-ident", "--timeout"],
    ['--syslog-ident "a b"', "--TIMEOUT", "9"],
    ["--oom-score-adj-values", "1", "2", "3", "--timeout", "9"],
    ["--oom-score-adj-values", "1 2 3"],
    ["--save", "900", "1", "--save", "300", "10"],
    ["--save", "--timeout", "9"],
    ["--syslog-ident", "a b", "--save"],
]
WRONG = [
    "timeout",
    "timeout 1 2",
    "timeout x",
    "daemonize",
    "appendonly maybe",
    "save 900",
    'syslog-ident "a',
    "syslog-ident 'a'b",
    "oom-score-adj-values 1 2",
    "client-output-buffer-limit foo 1 2 3",
    "maxmemory-policy nosuch",
    "include",
]


def parsed(words: list[str]) -> dict[str, str]:
    return dict(_core.parse_options(words))


@needs_redis
@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_command_lines_mean_what_they_mean_to_redis(words: list[str]) -> None:
    ours = parsed(words)
    with Server(REDIS, words) as server:
        theirs = configuration(server)
    if "save" in ours:  # on top of the harness's own
        assert ours.pop("save") == theirs["save"]
    changed = {
        s.name: theirs[s.name]
        for s in SETTINGS
        if s.name in theirs and s.name not in SET_AT_START and theirs[s.name] != s.default
    }
    changed.pop("save", None)
    assert ours == changed


@needs_redis
def test_a_file_means_what_it_means_to_redis(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text(FILE)
    (tmp_path / "all").write_text(f"include {tmp_path}/*.conf\ninclude {tmp_path}/none*\n")
    ours = parsed([str(tmp_path / "all")])
    with Server(REDIS, ["--include", str(tmp_path / "all")]) as server:
        theirs = configuration(server)
    assert {name: ours.get(name) for name in FROM_FILE} == FROM_FILE
    assert {name: theirs[name] for name in FROM_FILE} == FROM_FILE
    assert ours["save"] == theirs["save"] == "900 1 300 10"
    assert theirs[
        "client-output-buffer-limit"
    ] == "normal 1024 2 3 slave 268435456 67108864 60 " + ("pubsub 4194304 5 6")
    assert ours["client-output-buffer-limit"] == "normal 1kb 2 3 pubsub 4mb 5 6"


@needs_redis
@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text(f"timeout 1\n\n{line}\nport 0\n")
    with pytest.raises(ValueError) as raised:
        parsed([str(path)])
    ours = str(raised.value)
    assert "\n" not in ours
    assert "a.conf, line 3, " in ours or line == "include"
    result = subprocess.run(
        ["redis-server", str(path)], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert result.returncode == 1
    reason = result.stderr.strip().splitlines()[-1]
    assert f">>> '{line}'" in result.stderr
    assert reason in ours or reason == "Bad directive or wrong number of arguments"


# ---- In process ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "allowed"), [("yes", True), ("local", True), ("no", False)])
def test_debug_of_a_call_in_process(value: str, allowed: bool) -> None:
    with kevyrt.Server(port=None, enable_debug_command=value) as server:
        for run in (server.execute, server.session().execute):
            if allowed:
                assert run("DEBUG", "KEVYRT-SHARD", "k") == 0
            else:
                with pytest.raises(kevyrt.ResponseError, match="DEBUG command not allowed"):
                    run("DEBUG", "KEVYRT-SHARD", "k")
