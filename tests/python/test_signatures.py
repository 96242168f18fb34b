"""Methods have redis-py's names and parameters; every command has a method or a reason why not."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from method_calls import CALLS

import kevyrt
from kevyrt.commands import AwaitedCommands, Commands

REPOSITORY = Path(__file__).resolve().parents[2]

NEWER = "it is newer than Redis 7.4"
CAST = "None stands for float, which the signature of a function in C cannot name"
SCRIPTS = "there are no scripts yet"


def because(reason: str, *names: str) -> dict[str, str]:
    """Rows with the same reason."""
    return {name: reason for text in names for name in text.split()}


# Parameters that differ, by method and parameter: why.
DIFFERENT_PARAMETERS = {
    **{f"set.{name}": NEWER for name in ("ifeq", "ifne", "ifdeq", "ifdne")},
    **{f"xadd.{name}": NEWER for name in ("ref_policy", "idmpauto", "idmp")},
    **{f"xread.{name}": NEWER for name in ("max_count", "max_size")},
    **{f"xreadgroup.{name}": NEWER for name in ("claim_min_idle_time", "max_count", "max_size")},
    "xtrim.ref_policy": NEWER,
    **{
        f"{method}.score_cast_func": CAST
        for method in (
            *("zrange", "zrangebyscore", "zrevrange", "zrevrangebyscore"),
            *("zrank", "zrevrank", "zscan", "zscan_iter", "zunion"),
        )
    },
    "command_info.args": "redis-py's only says that it is not implemented",
    "latency_graph.event": "redis-py's only says that it is not implemented",
}

# Methods of redis-py with a command of 7.4 that are not here: why.
LEFT_OUT = {
    **because(
        "there are no users yet",
        "acl_deluser acl_dryrun acl_getuser acl_list acl_load acl_log acl_log_reset",
        "acl_save acl_setuser acl_users",
    ),
    **because(
        NEWER,
        "ardel arcount ardelrange arget argetrange argrep arinfo arinsert arlastitems",
        "arlen armget armset arnext arop arring arscan arseek arset blmovem lmovem delex",
        "digest digest_local hgetdel hgetex hsetex himport_discard himport_discard_all",
        "himport_discard_all_internal himport_discard_internal himport_prepare",
        "himport_prepare_internal himport_set hotkeys_get hotkeys_reset hotkeys_start",
        "hotkeys_stop increx msetex sdiffcard sunioncard xackdel xcfgset xdelex xnack",
    ),
    **because(
        SCRIPTS,
        "eval eval_ro evalsha evalsha_ro fcall fcall_ro function_delete function_dump",
        "function_flush function_kill function_list function_load function_restore",
        "function_stats register_script script_debug script_exists script_flush",
        "script_kill script_load lock",
    ),
    **because(
        "they are modules",
        "bf cf cms ft json tdigest topk ts vset",
    ),
    **because(
        "there are no modules",
        "module_load module_loadex module_unload load_external_module",
    ),
    **because(
        "the server always refuses it, or does not know it",
        "sentinel sentinel_ckquorum sentinel_failover sentinel_flushconfig",
        "sentinel_master sentinel_get_master_addr_by_name sentinel_masters",
        "sentinel_monitor sentinel_remove sentinel_reset sentinel_sentinels sentinel_set",
        "sentinel_slaves cluster readonly readwrite failover sync psync",
    ),
    **because(
        "it is about redis-py's connections",
        "client get_cache get_connection_kwargs get_encoder get_retry",
        "load_external_module parse_response set_response_callback set_retry",
    ),
    "execute_command": "it is execute() here",
    **because(
        "it is about what is sent to a connection, which a call in process has not",
        "client_reply client_tracking client_tracking_off client_tracking_on",
    ),
    "close": "a server is stopped, and a session closed",
    "debug_segfault": "redis-py's only says that it is not implemented",
    "hello": "redis-py's only says that it is not implemented",
    "keyspace_notifications": "it is about redis-py's subscriptions",
    "monitor": "it is a state of a connection",
    "quit": "a session is closed by close()",
    "stralgo": "Redis 7 has no STRALGO, but lcs()",
    "unwatch": "it belongs to pipelines",
    "watch": "it belongs to pipelines",
}

# Commands without a method: why. A container stands for its subcommands.
WITHOUT_METHOD = {
    **because(
        "it is about what is sent to a connection, which a call in process has not",
        "client|caching client|reply client|tracking",
    ),
    "discard": "it belongs to pipelines",
    "exec": "it belongs to pipelines",
    "multi": "it belongs to pipelines",
    "unwatch": "it belongs to pipelines",
    "watch": "it belongs to pipelines",
    "georadius_ro": "redis-py has no method for it: georadius() without `store` only reads",
    "georadiusbymember_ro": "redis-py has no method for it",
    "hello": "it is about how clients are answered",
    "monitor": "it is a state of a connection",
    "quit": "a session is closed by close()",
    "pfdebug": "redis-py has no method for it",
    "pfselftest": "redis-py has no method for it",
    "psubscribe": "it belongs to subscriptions",
    "punsubscribe": "it belongs to subscriptions",
    "ssubscribe": "it belongs to subscriptions",
    "subscribe": "it belongs to subscriptions",
    "sunsubscribe": "it belongs to subscriptions",
    "unsubscribe": "it belongs to subscriptions",
    "restore-asking": "it is for servers",
    "xsetid": "redis-py has no method for it",
    "decr": "decr() sends DECRBY, as redis-py does",
    "incr": "incr() sends INCRBY, as redis-py does",
}

# Methods that no call of method_calls.py makes: those that test_methods.py tests.
CALLED_ELSEWHERE = {
    *("scan_iter", "hscan_iter", "sscan_iter", "zscan_iter", "bitfield", "bgsave", "bgrewriteaof"),
    *("command_docs", "command_info", "latency_doctor", "latency_graph", "latency_histogram"),
    *("memory_doctor", "memory_help", "reset", "restore", "save", "shutdown", "wait"),
}


def methods(owner: type) -> dict[str, Any]:
    return {
        name: member
        for name in dir(owner)
        if name[0] != "_" and callable(member := inspect.getattr_static(owner, name))
    }


# What is a method of commands: what all faces have.
OURS = methods(kevyrt.Database)
THEIRS = {name: getattr(redis.Redis, name) for name in methods(redis.Redis)}
NOT_COMMANDS = {"pipeline", "transaction", "pubsub"}
BOTH = sorted(OURS.keys() & THEIRS.keys() - NOT_COMMANDS)


def parameters(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Kinds and defaults; whether an empty default is a list or a tuple does not matter."""
    return {
        name: (parameter.kind, () if parameter.default == [] else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }


def differences(method: str) -> Iterator[str]:
    ours, theirs = parameters(OURS[method]), parameters(THEIRS[method])
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        if ours.get(name) != theirs.get(name):
            yield f"{method}.{name}"
    common = [name for name in theirs if name in ours]
    if common != [name for name in ours if name in theirs]:
        yield f"{method}, the order"


@pytest.mark.parametrize("method", BOTH)
def test_parameters(method: str) -> None:
    unknown = set(differences(method)) - DIFFERENT_PARAMETERS.keys()
    assert not unknown, (parameters(OURS[method]), parameters(THEIRS[method]))


def test_every_different_parameter_differs() -> None:
    found = {row for method in BOTH for row in differences(method)}
    assert found == DIFFERENT_PARAMETERS.keys()


def test_every_method_of_redis_py_is_there() -> None:
    missing = THEIRS.keys() - OURS.keys() - NOT_COMMANDS
    assert missing == LEFT_OUT.keys()


def test_methods_that_redis_py_has_not() -> None:
    mapping = {"clear", "get_view", "items", "pop", "popitem", "setdefault", "update", "values"}
    assert OURS.keys() - THEIRS.keys() - mapping == {"execute"}


def commands() -> set[str]:
    """Names of all commands and subcommands that the server does not just refuse."""
    with kevyrt.Server(port=None) as server:
        found = {name.decode() for name in server.command_list()}
    table = (REPOSITORY / "csrc" / "cmd" / "commands.def").read_text()
    pattern = r'^(?:SUB)?COMMAND\("([^"]*)",\s*(?:"([^"]*)",)?[^"]*"[\d.]+", *(\w+)'
    rows = re.findall(pattern, table, re.MULTILINE)
    owned = {(f"{name}|{sub}" if sub else name): owner for name, sub, owner in rows}
    return {name for name in found if owned[name] not in ("REFUSED", "SCRIPTS")}


def words_of_methods() -> set[str]:
    """What the table and the mixins send."""
    found = set()
    table = (REPOSITORY / "csrc" / "py" / "faces" / "methods.def").read_text()
    texts = r'((?:"[^"]*"\s*)+)'
    for template in re.findall(rf"METHOD\(\w+,\s*{texts},\s*{texts}", table):
        words = template[1].strip('" ').split()
        found |= {words[0].lower(), " ".join(words[:2]).lower()}
    for path in (REPOSITORY / "kevyrt" / "commands").glob("*.py"):
        for one, two in re.findall(r'"([A-Z_]{3,})"(?:, "([A-Z-]+)")?', path.read_text()):
            found |= {one.lower(), f"{one} {two}".lower()}
    return found


def test_every_command_has_a_method() -> None:
    sent = words_of_methods()
    found = {name for name in commands() if name.replace("|", " ") not in sent}
    containers = {name.partition("|")[0] for name in commands() if "|" in name}
    helps = {name for name in found if name.endswith("|help")}
    missing = found - containers - helps
    missing = {name for name in missing if not name.startswith("object|")}
    assert missing == WITHOUT_METHOD.keys()


def test_every_method_is_called() -> None:
    called = {call.method for call in CALLS}
    wanted = OURS.keys() & THEIRS.keys() - NOT_COMMANDS
    assert wanted - called == CALLED_ELSEWHERE


def test_faces_have_the_same_methods() -> None:
    table = methods(kevyrt._core.Database).keys() - {"get_view"}
    core = kevyrt._core
    for face in (core.Server, core.Session, core.Pipeline, core.Aio):
        assert table <= methods(face).keys()
    assert methods(AwaitedCommands).keys() == methods(Commands).keys()
