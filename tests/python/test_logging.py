"""Lines reach the logger `kevyrt`, from a thread that is there only while a server runs."""

from __future__ import annotations

import logging
import threading

import pytest

import kevyrt
from kevyrt import _log


def log_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kevyrt-log"]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="kevyrt")
    return caplog


def test_start_and_stop_are_logged(lines: pytest.LogCaptureFixture) -> None:
    with kevyrt.Server() as server:
        port = server.port
    texts = [record.getMessage() for record in lines.records if record.name == "kevyrt"]
    assert any(text.startswith(f"Server started: port {port}, 1 shards, ") for text in texts)
    assert texts[-1] == "Server stopped"


def test_ignored_setting_is_a_warning(lines: pytest.LogCaptureFixture) -> None:
    with kevyrt.Server(syslog_enabled=True):
        pass
    (warning,) = [record for record in lines.records if record.levelno == logging.WARNING]
    assert "syslog-enabled" in warning.getMessage()


def test_levels() -> None:
    assert _log.LEVELS == (logging.DEBUG, logging.DEBUG, logging.INFO, logging.WARNING)


def test_no_handler_is_added() -> None:
    with kevyrt.Server():
        assert logging.getLogger("kevyrt").handlers == []


def test_the_thread_ends_with_the_last_server() -> None:
    assert log_threads() == []
    with kevyrt.Server(port=None):
        (thread,) = log_threads()
        with kevyrt.Server(port=None):
            assert log_threads() == [thread]
        assert log_threads() == [thread]
    assert log_threads() == []


def test_the_thread_ends_with_a_server_that_is_collected() -> None:
    server = kevyrt.Server(port=None).start()
    (thread,) = log_threads()
    del server
    thread.join(10)
    assert not thread.is_alive()


def test_a_start_that_fails_leaves_no_thread(server: kevyrt.Server) -> None:
    server_port = server.port
    before = log_threads()
    with pytest.raises(OSError):
        kevyrt.Server(port=server_port).start()
    assert log_threads() == before


def test_a_handler_may_call_and_stop_the_server() -> None:
    """It runs outside every shard, so nothing can deadlock."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "started" in record.getMessage():
                server.set("seen", record.getMessage())
                server.stop()

    handler = Handler()
    logger = logging.getLogger("kevyrt")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    server = kevyrt.Server(port=None)
    try:
        server.start()
        assert server.wait(10)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert not server.running


def test_a_handler_that_fails_does_not_end_the_log(lines: pytest.LogCaptureFixture) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise ArithmeticError

    logger = logging.getLogger("kevyrt")
    logger.addFilter(refuse)
    previous, threading.excepthook = threading.excepthook, lambda arguments: None
    try:
        with kevyrt.Server(port=None):
            pass
    finally:
        logger.removeFilter(refuse)
        threading.excepthook = previous
    with kevyrt.Server(port=None):
        pass
    assert "Server stopped" in [record.getMessage() for record in lines.records]
