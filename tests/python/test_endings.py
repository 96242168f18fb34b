"""The end of the process while its threads are inside calls of every kind, however it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from programs import Program, environment

ENDS_WITHIN_S = 30

# Threads of both kinds inside every kind of call, and what is forgotten everywhere.
INSIDE = """
import builtins, contextlib, logging, os, signal, sys, tempfile, threading, time
import kevyrt

logging.getLogger("kevyrt").addHandler(logging.NullHandler())
# What the shell that runs the tests ignores is the parent's business.
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = tempfile.mkdtemp(dir=".")
server = kevyrt.Server(threads=2, appendonly=True, appendfsync="always", dir=folder).start()
plain = kevyrt.Server(port=None).start()
server.execute("MSET", *(f"key:{i}" for i in range(2000)))
session, snapshot = server.session(), server.snapshot()
builtins.kept = [plain.session(), plain.snapshot(), kevyrt.Server().start()]
cycle = [kevyrt.Server(port=None).start(), plain.session()]
cycle.append(cycle)
local = threading.local()
started = []

def call(work, daemon=True):
    def run():
        local.server, local.session = kevyrt.Server(port=None).start(), plain.session()
        started.append(work)
        with contextlib.suppress(kevyrt.ServerStopped, kevyrt.PersistenceError):
            while True:
                work()
    threading.Thread(target=run, daemon=daemon).start()

def pause():
    other = paused.session()
    other.execute("CLIENT", "PAUSE", 100_000, "ALL")
    other.execute("INCR", "n")

paused = kevyrt.Server(port=None).start()
works = [
    lambda: server.execute("BLPOP", "nobody", 0),
    lambda: session.execute("XREAD", "BLOCK", 0, "STREAMS", "none", "$"),
    lambda: plain.execute("BLPOP", "nobody", 0),
    lambda: plain.get("key"),
    lambda: plain.set("key", "v" * 5000),
    lambda: server.set("key", "v"),
    lambda: server.execute("MGET", *(f"key:{i}" for i in range(500))),
    lambda: server.execute("WAITAOF", 1, 0, 0),
    lambda: plain.snapshot(),
    lambda: server.save(f"{folder}/dump.rdb"),
    lambda: server.rewrite_aof(),
    lambda: plain.restore(snapshot),
    lambda: server.wait(),
    lambda: server.stats(),
    pause,
]
for work in works:
    call(work)
while len(started) < len(works):
    time.sleep(0.001)
time.sleep(0.1)
"""

ENDINGS: dict[str, tuple[str, int]] = {
    "return": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "exception": ("raise ZeroDivisionError", 1),
    "os._exit": ("os._exit(4)", 4),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -signal.SIGTERM),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "SIGINT": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
    "SIGINT-inside": (
        "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "server.execute('BLPOP', 'nobody', 0)",
        -signal.SIGINT,
    ),
    "SIGTERM-handled": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "server.wait()",
        5,
    ),
    "exit-in-a-thread": ("call(lambda: sys.exit(9), daemon=False)", 0),
}
# What Python itself says of exceptions.
SAID = {"exception": "ZeroDivisionError", "SIGINT": "Interrupt", "SIGINT-inside": "Interrupt"}


@pytest.mark.parametrize("name", ENDINGS)
def test_ends(name: str, tmp_path: Path) -> None:
    ending, code = ENDINGS[name]
    path = tmp_path / "program.py"
    path.write_text(INSIDE + ending + "\n")
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(path)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
    )
    shown = f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert result.returncode == code, shown
    lines = result.stderr.splitlines()
    if name in SAID:
        assert lines[0].startswith("Traceback") and SAID[name] in lines[-1], shown
        assert sum(line.startswith("Traceback") for line in lines) == 1, shown
    else:
        assert lines == [], shown


def test_threads_that_are_no_daemons_finish_first(program: Program) -> None:
    """Python waits for them before it ends anything; so do servers, which are stopped later."""
    output = program("""
        import threading, time
        import kevyrt

        def work():
            for number in range(200):
                server.execute("INCR", "n")
                server.execute("BLPOP", "nobody", 0.001)
            print(server.get("n").decode(), server.running)

        server = kevyrt.Server().start()
        threading.Thread(target=work).start()
    """)
    assert output == "200 True\n"


def test_exit_handlers_in_the_order_of_their_registration(program: Program) -> None:
    """Those that came after the library find servers running; older ones find them stopped."""
    output = program("""
        import atexit

        def late():
            try:
                server.get("k")
            except kevyrt.ServerStopped:
                print("stopped", server.running)

        atexit.register(late)
        import kevyrt
        server = kevyrt.Server().start()
        atexit.register(lambda: print("runs", server.running))
    """)
    assert output == "runs True\nstopped False\n"


def test_handlers_that_start_calls_in_threads(program: Program) -> None:
    program("""
        import atexit, contextlib, threading
        import kevyrt

        def last():
            def work():
                with contextlib.suppress(kevyrt.ServerStopped):
                    server.execute("BLPOP", "nobody", 0)
            with contextlib.suppress(RuntimeError):  # from 3.12 on there are no new threads by then
                threading.Thread(target=work, daemon=True).start()

        server = kevyrt.Server().start()
        atexit.register(last)
    """)


def test_teardown_finds_everything(program: Program) -> None:
    """Objects that only the teardown of modules, types and the interpreter itself finds."""
    program("""
        import sys, types
        import kevyrt

        class Mine(kevyrt.Server):
            kept = []

            def __del__(self):
                try:
                    self.execute("PING")
                    self.snapshot()
                except kevyrt.ServerStopped:
                    pass

        server = Mine(threads=2).start()
        server.me, server.session_of_mine = server, server.session()
        server.execute("SET", "k", "v")
        Mine.kept += [server, server.snapshot(), server.session(), server.execute]
        sys.modules["made up"] = module = types.ModuleType("made up")
        module.server, module.method = Mine().start(), server.session().execute
        sys.excepthook_of_mine = lambda: server
        error = kevyrt.ResponseError("kept")
        error.server = server
        kevyrt.kept = error
        generator = (server.get("k") for _ in range(3))
        next(generator)
    """)


@pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_what_was_answered_is_in_the_log(ending: str, tmp_path: Path) -> None:
    """However abrupt the end, with threads inside calls."""
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent("""
        import os, threading, time
        import kevyrt
        server = kevyrt.Server(port=None, threads=2, appendonly=True, dir="data").start()
        done = [0] * 4
        def work(me):
            while True:
                server.execute("INCR", f"n{me}")
                done[me] += 1
        for me in range(4):
            threading.Thread(target=work, args=(me,), daemon=True).start()
        while min(done) < 20:
            time.sleep(0.001)
        os.write(1, repr(done).encode())
        """)
        + ending
        + "\n"
    )
    (tmp_path / "data").mkdir()
    first = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=ENDS_WITHIN_S,
    )
    assert first.stderr == b""
    told = eval(first.stdout)
    import kevyrt

    with kevyrt.Server(port=None, appendonly=True, dir=str(tmp_path / "data")) as server:
        for me, number in enumerate(told):
            assert int(server.get(f"n{me}") or 0) >= number
