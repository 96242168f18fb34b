"""What statistics tell, beside INFO and known data, and how they are shown."""

from __future__ import annotations

import itertools
import json
import random
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from programs import Program

import kevyrt
from kevyrt._show import svg, units

SVG = "{http://www.w3.org/2000/svg}"
SHARDS = [1, 3]


@pytest.fixture(params=SHARDS)
def server(request: pytest.FixtureRequest) -> Iterator[kevyrt.Server]:
    with kevyrt.Server(port=None, threads=request.param) as running:
        yield running


def info(server: kevyrt.Server, section: str) -> dict[str, str]:
    text = server.execute("INFO", section)
    text = text if isinstance(text, str) else text.decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def fill(server: kevyrt.Server) -> dict[str, int]:
    """Keys of all types; returns how many of each."""
    for number in range(300):
        server.set(f"string:{number}", "x" * number)
    for number in range(40):
        server.execute("RPUSH", f"list:{number}", *range(number + 1))
        server.execute("HSET", f"hash:{number}", "field", "value")
    for number in range(20):
        server.execute("SADD", f"set:{number}", "a", "b")
        server.execute("ZADD", f"zset:{number}", 1, "a")
    server.execute("XADD", "stream:1", "*", "a", "b")
    return {"string": 300, "list": 40, "hash": 40, "set": 20, "zset": 20, "stream": 1}


def memory_usage(server: kevyrt.Server) -> dict[bytes, int]:
    keys = server.execute("KEYS", "*")
    return {key: server.execute("MEMORY", "USAGE", key) for key in keys}


def picture(html: str) -> ElementTree.Element:
    """The drawing of a page, which is well-formed, and nothing in it acts or is from elsewhere."""
    assert len(html.encode()) < 60_000
    tree = ElementTree.fromstring(html)
    drawing = tree.find(f"{SVG}svg")
    assert drawing is not None
    for element in tree.iter():
        name = element.tag.removeprefix(SVG)
        assert name in {"div", "svg", "text", "title", "rect", "line", "circle", "path"}
        for attribute, value in element.attrib.items():
            assert not attribute.startswith("on") and "href" not in attribute
            assert "url(" not in value and "javascript" not in value
    return drawing


def texts(html: str) -> list[str]:
    """What can be read, without the titles that a pointer shows."""
    found = picture(html).iter(f"{SVG}text")
    return [(text.text or "") + "".join(child.tail or "" for child in text) for text in found]


# ---- What is told --------------------------------------------------------------------------------


def test_types_add_up(server: kevyrt.Server) -> None:
    known = fill(server)
    usage = memory_usage(server)
    stats = server.stats()
    assert stats.keys == stats.keys_seen == stats.total.keys == sum(known.values())
    assert {kind.type: kind.keys for kind in stats.types} == known
    assert {kind.type: kind.keys_seen for kind in stats.types} == known
    sizes: Counter[str] = Counter()
    for key, size in usage.items():
        sizes[key.decode().split(":")[0]] += size
    assert {kind.type: kind.bytes for kind in stats.types} == sizes


def test_big_keys_are_the_biggest(server: kevyrt.Server) -> None:
    fill(server)
    usage = memory_usage(server)
    stats = server.stats()
    assert [key.bytes for key in stats.big_keys] == sorted(usage.values(), reverse=True)[:16]
    for key in stats.big_keys:
        assert usage[key.name] == key.bytes
        assert key.name.decode().startswith(key.type)
        assert key.name_len == len(key.name) and key.db == 0


def test_other_databases_are_told_apart(server: kevyrt.Server) -> None:
    server.execute("SET", "k", "x" * 1000, db=3)
    server.execute("SET", "k", "x" * 500, db=0)
    found = [(key.name, key.db) for key in server.stats().big_keys]
    assert found == [(b"k", 3), (b"k", 0)]


def test_a_part_is_looked_at_and_stands_for_all(server: kevyrt.Server) -> None:
    for number in range(20_000):
        server.set(f"k{number}", "x" * 20)
    for number in range(5_000):
        server.execute("SADD", f"s{number}", number)
    stats = server.stats(sample=2_000)
    assert stats.keys == 25_000
    assert 1_500 < stats.keys_seen < 2_500
    kinds = {kind.type: kind for kind in stats.types}
    assert 18_500 < kinds["string"].keys < 21_500
    assert 3_500 < kinds["set"].keys < 6_500
    assert sum(kind.keys for kind in stats.types) == pytest.approx(25_000, abs=3)
    exact = server.stats(sample=None)
    assert exact.keys_seen == 25_000
    each = {kind.type: kind.bytes for kind in exact.types}
    assert kinds["string"].bytes == pytest.approx(each["string"], rel=0.1)


def test_parts_go_on_where_the_last_one_ended(server: kevyrt.Server) -> None:
    """So some of them have seen everything, and what is big is remembered, as it is now."""
    for number in range(10_000):
        server.set(f"k{number}", "x")
    for number in range(5):
        server.set(f"big{number}", "y" * (10_000 + 1_000 * number))
    seen = 0
    while seen < 13_000:
        seen += server.stats(sample=500).keys_seen
    stats = server.stats(sample=500)
    assert [key.name for key in stats.big_keys[:5]] == [b"big4", b"big3", b"big2", b"big1", b"big0"]
    strings = stats.types[0].bytes
    exact = server.stats(sample=None).types[0].bytes
    assert strings == pytest.approx(exact, rel=0.02), "what is known to be big is not estimated"
    server.delete("big4")
    server.set("big0", "y" * 20_000)
    found = [key.name for key in server.stats(sample=500).big_keys[:4]]
    assert found == [b"big0", b"big3", b"big2", b"big1"]
    server.execute("FLUSHALL")
    assert server.stats(sample=500).big_keys == ()


def test_no_keys_are_looked_at_if_not_wanted(server: kevyrt.Server) -> None:
    fill(server)
    stats = server.stats(sample=0)
    assert stats.keys == stats.keys_seen == 0
    assert stats.big_keys == () and all(kind.keys == 0 for kind in stats.types)
    assert stats.total.keys == 421
    assert "not looked at" in texts(stats._repr_html_())
    with pytest.raises(ValueError, match="negative"):
        server.stats(sample=-1)


def test_counters_are_those_of_info(server: kevyrt.Server) -> None:
    fill(server)
    for number in range(400):
        server.get(f"string:{number}")
    with pytest.raises(kevyrt.WrongTypeError):
        server.execute("LPUSH", "string:1", "x")
    stats = server.stats()
    general, memory = info(server, "stats"), info(server, "memory")
    assert stats.total.keyspace_hits == int(general["keyspace_hits"]) == 300
    assert stats.total.keyspace_misses == int(general["keyspace_misses"]) == 100
    assert stats.hit_rate == 0.75
    assert stats.error_replies == int(general["total_error_replies"]) == 1
    assert stats.memory.used_bytes == stats.total.used_bytes == int(memory["used_memory"])
    assert stats.memory.peak_bytes == int(memory["used_memory_peak"])
    assert stats.memory.maxmemory_policy == memory["maxmemory_policy"] == "noeviction"
    assert stats.memory.startup_bytes == int(memory["used_memory_startup"])
    for name, line in info(server, "commandstats").items():
        fields = dict(field.split("=") for field in line.split(","))
        mine = {command.name: command for command in stats.commands}.get(name[8:])
        if mine is not None and mine.name != "info":
            assert mine.calls == int(fields["calls"])
            assert mine.failed == int(fields["failed_calls"])
    calls = sum(command.calls for command in stats.commands)
    assert calls == stats.total.commands


def test_percentiles_are_those_of_info(server: kevyrt.Server) -> None:
    fill(server)
    for number in range(2_000):
        server.get(f"string:{number % 300}")
    told = info(server, "latencystats")
    stats = server.stats()
    for command in stats.commands:
        if command.name == "info":
            continue
        line = told[f"latency_percentiles_usec_{command.name}"]
        fields = {name: float(us) for name, us in (item.split("=") for item in line.split(","))}
        latency = command.latency
        for name, ns in (
            ("p50", latency.p50_ns),
            ("p99", latency.p99_ns),
            ("p99.9", latency.p999_ns),
        ):
            assert ns is not None and fields[name] == pytest.approx(ns / 1000, abs=0.001)
    assert stats.latency.count == sum(command.latency.count for command in stats.commands)
    assert [c.time_ns for c in stats.commands] == sorted(c.time_ns for c in stats.commands)[::-1]


def test_time_busy_is_that_of_the_commands(server: kevyrt.Server) -> None:
    fill(server)
    stats = server.stats()
    assert all(shard.busy_ns > 0 for shard in stats.shards)
    assert stats.total.busy_ns == sum(command.time_ns for command in stats.commands)


def test_a_hot_key_is_found(server: kevyrt.Server) -> None:
    draw = random.Random(5)
    first = server.stats()
    assert first.hot_kind == "nothing" and first.hot_keys == ()
    for _ in range(30_000):
        server.get("hot" if draw.random() < 0.3 else f"k{draw.randrange(5_000)}")
        if draw.random() < 0.1:
            server.set("warm", 1)
    stats = server.stats()
    assert stats.hot_kind == "accesses"
    hot, warm = stats.hot_keys[:2]
    assert (hot.name, warm.name) == (b"hot", b"warm")
    assert hot.share == pytest.approx(0.3 / 1.1, rel=0.15)
    assert warm.share == pytest.approx(0.1 / 1.1, rel=0.25)
    assert hot.least_share is not None and 0 <= hot.least_share <= hot.share


def test_no_key_is_hot_if_all_are_used_alike(server: kevyrt.Server) -> None:
    draw = random.Random(6)
    server.stats()
    for _ in range(40_000):
        server.get(f"k{draw.randrange(20_000)}")
    stats = server.stats()
    assert stats.hot_kind == "accesses" and stats.hot_keys == ()
    assert "no key stands out" in texts(stats._repr_html_())


def test_a_rhythm_hides_no_key(server: kevyrt.Server) -> None:
    """One call in eight is measured: of eight keys in turn that would be the same one always."""
    server.stats()
    for _ in range(4_000):
        for number in range(8):
            server.get(f"k{number}")
    hot = server.stats().hot_keys
    assert {key.name for key in hot} == {f"k{number}".encode() for number in range(8)}
    assert all(key.share == pytest.approx(1 / 8, rel=0.3) for key in hot)


def test_keys_of_many_are_all_noted(server: kevyrt.Server) -> None:
    server.stats()
    for _ in range(2_000):
        server.execute("MGET", *(f"k{number}" for number in range(24)))
    shares = {key.name: key.share for key in server.stats().hot_keys}
    assert len(shares) == 16
    assert all(share == pytest.approx(1 / 24, rel=0.6) for share in shares.values())


def test_counters_of_an_lfu_policy() -> None:
    with kevyrt.Server(port=None, maxmemory_policy="allkeys-lfu", maxmemory="1gb") as server:
        for number in range(100):
            server.set(f"k{number}", "x")
        for _ in range(2_000):
            server.get("k7")
        stats = server.stats()
        assert stats.hot_kind == "frequency"
        assert stats.hot_keys[0].name == b"k7" and stats.hot_keys[0].share is None
        assert (stats.hot_keys[0].frequency or 0) > (stats.hot_keys[1].frequency or 0) >= 1
        assert stats.memory.maxmemory_bytes == 1 << 30
        assert "1.00\u2009GiB" in " ".join(texts(stats._repr_html_()))
        assert "LFU counter" in str(stats)


# ---- Differences ---------------------------------------------------------------------------------


def test_the_difference_of_two(server: kevyrt.Server) -> None:
    fill(server)
    before = server.stats()
    for number in range(50):
        server.get(f"string:{number}")
    server.set("new", "x" * 1000)
    after = server.stats()
    since = after - before
    assert since.seconds > 0 and since.start == before.time and since.end == after.time
    assert since.total.commands == 51 == sum(shard.commands for shard in since.shards)
    assert since.commands_per_s == pytest.approx(51 / since.seconds)
    assert since.total.keys == 1 and since.total.used_bytes > 1000
    assert {command.name: command.calls for command in since.commands} == {"get": 50, "set": 1}
    assert since.hit_rate == 1
    assert since.latency.count > 0
    assert json.loads(json.dumps(since.to_dict()))["total"]["commands"] == 51
    assert repr(since).startswith("<kevyrt.StatsInterval ")
    with pytest.raises(ValueError, match="later"):
        before - after
    with (
        kevyrt.Server(port=None, threads=4) as other,
        pytest.raises(ValueError, match="same server"),
    ):
        other.stats() - before


def test_counters_that_began_anew(server: kevyrt.Server) -> None:
    for _ in range(100):
        server.get("k")
    before = server.stats()
    server.execute("CONFIG", "RESETSTAT")
    for _ in range(10):
        server.get("k")
    since = server.stats() - before
    assert {command.name: command.calls for command in since.commands}["get"] == 10
    assert 10 <= since.total.commands <= 11
    assert since.total.keyspace_misses == 10


def test_distributions() -> None:
    one = kevyrt.Latency(((10, 5), (100, 5)))
    more = kevyrt.Latency(((10, 5), (100, 6), (1000, 1)))
    assert (one + more).counts == ((10, 10), (100, 11), (1000, 1))
    assert (more - one).counts == ((100, 1), (1000, 1))
    assert (one - more).counts == one.counts
    assert [more.percentile(p) for p in (0, 40, 50, 90, 100)] == [10, 10, 100, 100, 1000]
    assert kevyrt.Latency().percentile(50) is None and kevyrt.Latency().count == 0
    assert "12 calls" in repr(more)


# ---- As values -----------------------------------------------------------------------------------


def test_to_dict_is_for_json(server: kevyrt.Server) -> None:
    fill(server)
    server.set(b"\xff\x00key", "x" * 100_000)
    found = json.loads(json.dumps(server.stats().to_dict()))
    assert found["big_keys"][0]["name"] == "\\xff\x00key"
    assert found["total"]["keys"] == 422
    assert {kind["type"]: kind["keys"] for kind in found["types"]}["hash"] == 40
    assert found["commands"][0]["latency"]["counts"][0][1] >= 1
    assert found["memory"]["used_bytes"] > 0 and found["persistence"]["aof_enabled"] is False


def test_to_pandas(server: kevyrt.Server) -> None:
    pytest.importorskip("pandas")
    fill(server)
    stats = server.stats()
    frames = stats.to_pandas()
    assert set(frames) == {"shards", "commands", "types", "big_keys", "hot_keys"}
    assert frames["shards"]["keys"].sum() == 421
    assert frames["commands"].set_index("name").loc["set", "calls"] == 300
    assert (frames["commands"]["p99_ns"] >= frames["commands"]["p50_ns"]).all()
    assert list(frames["types"].sort_values("keys")["type"])[-1] == "string"
    assert len(frames["hot_keys"]) == 0 and "share" in frames["hot_keys"].columns


def test_without_pandas(server: kevyrt.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        server.stats().to_pandas()


# ---- As pages and text ---------------------------------------------------------------------------


def test_the_page_tells_what_there_is(server: kevyrt.Server) -> None:
    fill(server)
    for _ in range(1_000):
        server.get("string:7")
    server.stats()
    for _ in range(1_000):
        server.get("string:7")
    shown = texts(server._repr_html_())
    for text in ("Throughput", "Latency of commands", "Memory by type", "Big keys", "Hot keys"):
        assert text in shown
    assert "from all 421 keys" in shown
    assert "get" in shown and "string:7" in shown
    assert any("Balance of" in text for text in shown)
    assert any(text.startswith("running · ") for text in shown)


def test_text(server: kevyrt.Server) -> None:
    fill(server)
    stats = server.stats()
    assert len(repr(stats)) < 120 and "421 keys" in repr(stats)
    lines = str(stats).splitlines()
    assert any(re.fullmatch(r"string +300 +\S+ \S+ +\S+ B", line) for line in lines), str(stats)
    assert "(from all 421 keys)" in lines
    assert str(stats).isprintable() or set(str(stats)) - {"\n"} <= set(map(chr, range(32, 0x2200)))
    assert len(repr(server)) < 60


class Printer:
    """What IPython passes to _repr_pretty_."""

    def __init__(self) -> None:
        self.printed = ""

    def text(self, text: str) -> None:
        self.printed += text


def pretty(shown: Any) -> str:
    printer = Printer()
    shown._repr_pretty_(printer, False)
    return printer.printed


def test_hostile_names_are_only_text(server: kevyrt.Server) -> None:
    names = [
        b"<script>alert('&\"')</script>",
        b"\xff\xfe\x00\x01 not text",
        "\u202edesrever\u200b\ufffe\ud7ff".encode(),
        b"\x1b[31mred\n\r\t",
        "漢字".encode() * 20,
        b"",
        b"</title></svg><img src=x onerror=alert(1)>",
        b"n" * 5_000,
    ]
    server.stats()
    for _ in range(200):
        for name in names:
            server.set(name, "x" * 3_000)
    stats = server.stats()
    assert {key.name for key in stats.big_keys} == {name[:96] for name in names}
    assert {key.name_len for key in stats.hot_keys} == {len(name) for name in names}
    html = stats._repr_html_()
    shown = texts(html)
    assert "<script>" not in html and "<img" not in html
    assert any(text.startswith("<script>") for text in shown)
    assert '""' in shown
    for text in (*shown, *str(stats).splitlines()):
        assert text.isprintable() or "\u2009" in text, text
    assert "\x1b" not in str(stats) and "\u202e" not in str(stats)


def test_an_empty_server(server: kevyrt.Server) -> None:
    stats = server.stats()
    assert stats.keys == 0 and stats.big_keys == () and stats.hit_rate is None
    shown = texts(server._repr_html_())
    assert "no keys" in shown and "no command was measured yet" in shown
    assert str(stats) and pretty(server) and pretty(stats)


def test_sixty_four_shards() -> None:
    with kevyrt.Server(port=None, threads=64) as server:
        for number in range(2_000):
            server.set(f"k{number}", "x")
        stats = server.stats()
        assert len(stats.shards) == 64 and stats.total.keys == stats.keys_seen == 2_000
        drawing = picture(server._repr_html_())
        titles = [element.text or "" for element in drawing.iter(f"{SVG}title")]
        assert sum(title.startswith("shard 63: ") for title in titles) == 4
        assert str(stats).count("\n") > 64


def test_a_server_that_does_not_run() -> None:
    server = kevyrt.Server(port=None)
    for _ in range(2):
        assert "not running" in texts(server._repr_html_())
        assert "not running" in pretty(server) and "not running" in repr(server)
        server.start()
        assert "not running" not in texts(server._repr_html_())
        server.stop()
    assert "cannot be shown" in " ".join(texts(kevyrt.Server.__new__(kevyrt.Server)._repr_html_()))


def test_in_a_forked_child(program: Program) -> None:
    output = program(
        """
        import os, sys
        import kevyrt

        class Printer:
            def text(self, text):
                print(text)

        with kevyrt.Server(threads=2) as server:
            server.set("k", "v")
            stats = server.stats()
            watch = server.watch_stats(0.01)
            if os.fork() == 0:
                assert "belongs to the parent" in server._repr_html_()
                server._repr_pretty_(Printer(), False)
                assert repr(server) and str(stats) and stats._repr_html_()
                assert not watch.running and watch._repr_html_() and str(watch)
                watch.stop()
                print(watch.state, flush=True)
                sys.exit(0)
            print(os.waitstatus_to_exitcode(os.wait()[1]), watch.running)
        """
    )
    assert "belongs to the parent of this process" in output
    assert "left behind by a fork" in output and output.endswith("0 True\n")


# ---- Units and drawing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (units.count(0), "0"),
        (units.count(99_999), "99,999"),
        (units.count(1_234_567), "1.23 M"),
        (units.count(999_999), "1.00 M"),
        (units.many(1, "miss", "misses"), "1 miss"),
        (units.many(0, "key"), "0 keys"),
        (units.rate(0), "0/s"),
        (units.rate(0.25), "0.25/s"),
        (units.rate(120_400), "120 k/s"),
        (units.size(0), "0 B"),
        (units.size(1023), "1023 B"),
        (units.size(1024), "1.00 KiB"),
        (units.size(54_700_000), "52.2 MiB"),
        (units.time_ns(None), "\u2013"),
        (units.time_ns(340), "340 ns"),
        (units.time_ns(12_345), "12.3 µs"),
        (units.time_ns(1_073_741_823), "1.07 s"),
        (units.time_ns(7_200e9), "2 h 0 min"),
        (units.percent(0), "0 %"),
        (units.percent(1), "100 %"),
        (units.percent(0.99999), "> 99.9 %"),
        (units.percent(0.123), "12.3 %"),
        (units.span(0.5), "0.5 s"),
        (units.span(93), "1 min 33 s"),
        (units.span(90_061), "1 d 1 h"),
        (units.tick(5 << 20, units.size), "5 MiB"),
        (units.tick(1000, units.time_ns), "1 µs"),
        (units.tick(0, units.size), "0"),
        (units.key(b"short", 5, 10), "short"),
        (units.key(b"0123456789", 10, 6), "01234…"),
        (units.key("漢字漢字".encode(), 12, 6), "漢字…"),
        (units.key(b"cut", 500, 10), "cut…"),
    ],
)
def test_units(written: str, expected: str) -> None:
    assert written.replace("\u2009", " ") == expected


def luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("background", ["#ffffff", "#111111"])
@pytest.mark.parametrize("name", ["BLUE", "AMBER", "RED", "GREEN", "VIOLET", "TEAL"])
def test_colours_stand_out(name: str, background: str) -> None:
    """3 to 1 is what WCAG asks of graphics."""
    one, other = sorted((luminance(getattr(svg, name)), luminance(background)))
    assert (other + 0.05) / (one + 0.05) >= 3


@pytest.mark.parametrize("most", [1, 3, 9.9, 10, 123, 999_999, 3.3e7, 1e12])
@pytest.mark.parametrize("base", [10, 1024])
def test_steps_of_axes_are_few_and_round(most: float, base: float) -> None:
    step = svg.nice_step(most, 4, base)
    assert 1.5 < most / step <= 4.01
    while base == 1024 and step >= 1024:
        step /= 1024
    assert f"{step:e}"[0] in "125" and float(f"{step:.0e}") == pytest.approx(step)


def test_labels_do_not_overlap() -> None:
    for wanted in ([0, 0, 0], [100, 99, 98], [50, 10, 51], [5]):
        places = svg.spread(wanted, 15, 0, 100)
        ordered = sorted(places)
        assert all(b - a >= 15 for a, b in itertools.pairwise(ordered))
        assert ordered[0] >= 0 and ordered[-1] <= 100
