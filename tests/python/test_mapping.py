"""Server and Database as mappings, and views of values."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

import kevyrt


@pytest.fixture(params=[1, 3])
def server(request: pytest.FixtureRequest) -> Iterator[kevyrt.Server]:
    with kevyrt.Server(port=None, threads=request.param) as server:
        yield server


# ---- Mapping -------------------------------------------------------------------------------------


def test_items(server: kevyrt.Server) -> None:
    server["k"] = "v"
    assert server["k"] == b"v" and "k" in server and b"k" in server and "other" not in server
    del server["k"]
    assert "k" not in server
    with pytest.raises(KeyError, match="k"):
        server["k"]
    with pytest.raises(KeyError, match="k"):
        del server["k"]


def test_a_server_is_true_however_empty(server: kevyrt.Server) -> None:
    assert server and server.database(3) and len(server) == 0
    server.update({i: i for i in range(5000)})
    assert len(server) == 5000 and len(server.database(3)) == 0


def test_iteration_finds_each_key_once(server: kevyrt.Server) -> None:
    expected = {b"%d" % i: b"value %d" % i for i in range(5000)}
    server.update(expected)
    keys = list(server)
    assert len(keys) == len(set(keys)) == 5000
    assert dict(server.items()) == expected
    assert sorted(server.values()) == sorted(expected.values())


def test_iteration_while_keys_come_and_go(server: kevyrt.Server) -> None:
    server.update({f"stays {i}": i for i in range(3000)})
    found = []
    for i, key in enumerate(server):
        found.append(key)
        server[f"new {i}"] = i
        if i > 20_000:
            break
    stays = [key for key in found if key.startswith(b"stays")]
    assert len(stays) == len(set(stays)) == 3000


def test_other_types(server: kevyrt.Server) -> None:
    server.execute("RPUSH", "list", 1)
    server["text"] = "t"
    assert "list" in server and dict(server.items()) == {b"text": b"t"}
    for wrong in (lambda: server["list"], lambda: server.pop("list"), lambda: view(server, "list")):
        with pytest.raises(kevyrt.WrongTypeError):
            wrong()
    server["list"] = "is text now"
    assert server["list"] == b"is text now"


def view(server: kevyrt.Server, name: str) -> memoryview | None:
    return server.get_view(name)


def test_pop_setdefault_update_clear(server: kevyrt.Server) -> None:
    assert server.setdefault("a", 1) == server.setdefault("a", 2) == b"1"
    assert server.pop("a") == b"1" and server.pop("a", None) is None and server.pop("a", 7) == 7
    with pytest.raises(KeyError):
        server.pop("a")
    server.update({})
    server.update({"x": 1, b"y": 2.5})
    assert server["y"] == b"2.5"
    server.clear()
    assert len(server) == 0


def test_setdefault_has_one_winner(server: kevyrt.Server) -> None:
    found: list[bytes] = []

    def work(name: int) -> None:
        found.extend(server.setdefault(f"k{i}", name) for i in range(300))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1200
    assert all(found[i::300].count(server[f"k{i}"]) == 4 for i in range(300))


def test_databases_are_apart(server: kevyrt.Server) -> None:
    other = server.database(5)
    other["k"] = "five"
    assert "k" not in server and list(other) == [b"k"] and other.pop("k") == b"five"


def test_text() -> None:
    with kevyrt.Server(port=None, decode_responses=True) as server:
        server["schlüssel"] = "wert"
        assert list(server.items()) == [("schlüssel", "wert")]


def test_stopped() -> None:
    server = kevyrt.Server(port=None)
    assert server
    for use in (lambda: server["k"], lambda: "k" in server, lambda: len(server), lambda: [*server]):
        with pytest.raises(kevyrt.ServerStopped):
            use()


def test_wrong_arguments(server: kevyrt.Server) -> None:
    with pytest.raises(TypeError):
        server[None] = 1  # type: ignore[index]
    with pytest.raises(TypeError):
        server["k"] = None  # type: ignore[assignment]
    assert "k" not in server


# ---- Views ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 70_000, 3_000_000])
def test_view(server: kevyrt.Server, size: int) -> None:
    value = (b"0123456789" * (size // 10 + 1))[:size]
    server["k"] = value
    view = server.get_view("k")
    assert view is not None and view.readonly and view == value and view.nbytes == size
    assert server.get_view("nobody") is None


def test_a_view_stays_as_it_is(server: kevyrt.Server) -> None:
    server["k"] = b"x" * 100_000
    view = server.get_view("k")
    assert view is not None
    server.append("k", "more")
    server.execute("SETRANGE", "k", 0, "changed")
    assert server.execute("STRLEN", "k") == 100_004
    del server["k"]
    assert view == b"x" * 100_000
    server.stop()
    assert view == b"x" * 100_000
    with pytest.raises(TypeError):
        view[0] = 1


def used_bytes(server: kevyrt.Server) -> int:
    return server.stats().total.used_bytes


def test_the_memory_of_a_view_goes_with_it(server: kevyrt.Server) -> None:
    size = 4_000_000
    server["k"] = bytes(size)
    views = [server.get_view("k") for _ in range(3)]
    del server["k"]
    assert used_bytes(server) > size
    del views
    gc.collect()
    assert used_bytes(server) < size


def test_a_view_outlives_lives_of_its_server() -> None:
    server = kevyrt.Server(port=None)
    views = []
    for life in range(3):
        with server:
            before = used_bytes(server)
            server["k"] = b"%d" % life * 2_000_000
            views.append(server.get_view("k"))
            del views[:-1]  # of an earlier life: its memory is not counted in this one
            del server["k"]
            assert used_bytes(server) < before + 2_500_000
    del server
    (view,) = views
    assert view is not None and view[:2] == b"22"


def test_views_in_threads(server: kevyrt.Server) -> None:
    wrong = []

    def look() -> None:
        for _ in range(500):
            view = server.get_view("k")
            if view is not None and len(set(view[:: len(view) // 7])) != 1:
                wrong.append(bytes(view[:10]))

    def change() -> None:
        for i in range(500):
            server["k"] = b"%d" % (i % 10) * 20_000

    change()
    threads = [threading.Thread(target=target) for target in (look, change, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
