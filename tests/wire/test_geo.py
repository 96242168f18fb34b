"""Positions on the earth: GEOADD and what it stores, GEOPOS, GEOHASH, GEODIST, and searches by
radius and by box with every option, at the poles, at the date line and around the whole earth."""

from __future__ import annotations

import random

import pytest
from harness.cases import Case, Do, Key, Pipe, case, in_both_protocols, shortest_doubles
from harness.cases import Command as Words
from harness.compare import Oracle
from harness.process import Server

SICILY = "13.361389 38.115556 palermo 15.087269 37.502669 catania 13.583333 37.316667 agrigento"
SHORT = "WITHDIST WITHHASH WITHCOORD"
EDGES = [
    *("0 0", "-0.0 -0.0", "180 0", "-180 0", "179.999999 1", "-179.999999 1", "0 85.05112878"),
    *("0 -85.05112878", "180 85.05112878", "-180 -85.05112878", "1e-10 1e-10", "90 45", "-90 -45"),
    *("13.361389 38.115556", "13.361389338970184 38.1155563954963", "0x10 0x8", "+1 +1", "1e2 1e1"),
    *("-0.00000001 0.00000001", "45.00000000000001 22.499999999999996", "179.9999999999 85"),
]
BAD_POSITIONS = [
    *("181 0", "-181 0", "180.0000001 0", "0 86", "0 -86", "0 85.0511287800001", "0 85.05112879"),
    *("nan 0", "0 nan", "inf 0", "0 -inf", "x 0", "0 x", "'' 0", "0 ''", "' 1' 0", "0 '1 '"),
    "1e400 0",
    *("1,5 0", "200 200", "0 1e400", "-1e300 5"),
]
UNITS = ["m", "km", "ft", "mi", "M", "KM", "Ft", "mI", "yd", "''", "meters", "1"]


def _points(seed: int, count: int, west: float, south: float, width: float, height: float) -> Words:
    """GEOADD of members at places drawn from a box."""
    draw = random.Random(seed)
    words: list = ["GEOADD", Key(0)]
    for at in range(count):
        lon, lat = west + draw.random() * width, south + draw.random() * height
        words += [f"{lon:.6f}", f"{lat:.6f}", f"p{at}"]
    return tuple(words)


def _add_cases() -> list[Case]:
    return [
        *in_both_protocols(
            "geoadd-positions",
            *(f"GEOADD $0 {position} m{at}" for at, position in enumerate(EDGES)),
            *(f"ZSCORE $0 m{at}" for at in range(len(EDGES))),
            *(f"GEOPOS $0 m{at}" for at in range(len(EDGES))),
            *(f"GEOHASH $0 m{at}" for at in range(len(EDGES))),
            *(f"GEODIST $0 m0 m{at}" for at in range(len(EDGES))),
            *(f"GEODIST $0 m{at} m13 km" for at in range(len(EDGES))),
            *("ZRANGE $0 0 -1", "TYPE $0", "OBJECT ENCODING $0"),
        ),
        case(
            "geoadd-positions-refused",
            *(f"GEOADD $0 {position} m" for position in BAD_POSITIONS),
            *(f"GEOADD $0 1 1 a {position} m" for position in BAD_POSITIONS),
            *("EXISTS $0", "GEOADD $0 1 1 a 200 1 b 2 2 c", "EXISTS $0"),
        ),
        case(
            "geoadd-options",
            *("GEOADD $0 NX 1 1 a", "GEOADD $0 XX 2 2 b", "GEOADD $0 NX 5 5 a 6 6 b"),
            "GEOPOS $0 a b",
            *("GEOADD $0 XX CH 7 7 a 8 8 c", "GEOADD $0 CH 7 7 a 9 9 d 9 9.1 b"),
            "GEOADD $0 ch nx 1 1 e 2 2 a",
            *("GEOADD $0 NX XX 1 1 a", "GEOADD $0 FOO 1 1 a", "GEOADD $0 1 1", "GEOADD $0 1 1 a 2"),
            "GEOADD $0",
            *("GEOADD $0 1 1 a 2 2", "GEOADD $0 NX", "GEOADD $0 NX 1 1", "GEOADD $0 INCR 1 1 a"),
            "GEOADD",
            *("GEOADD $0 GT 1 1 a", "GEOADD $0 NX XX x 1 a", "GEOADD $0 CH CH 1 1 z"),
            "ZRANGE $0 0 -1 WITHSCORES",
            *("SET $1 s", "GEOADD $1 1 1 a", "GEOADD $1 200 1 a", "GEOADD $1 x 1 a"),
            *("GEOADD $1 1 1", "GET $1"),
            *("GEOADD $2 NX 1 1 ''", "GEOADD $2 1 1 a 2 2 a", "GEOPOS $2 a ''"),
            "ZADD $2 1 '' inf b -5 c 1e300 d",
            *("GEOPOS $2 '' b c d", "GEOHASH $2 '' c", "ZADD $2 1.5 e 4503599627370496 f"),
            *("GEOPOS $2 e f", "GEODIST $2 e f"),
        ),
        *in_both_protocols(
            "geo-reads",
            *(f"GEOADD $0 {SICILY}", "GEOPOS $0 palermo none catania", "GEOPOS $0"),
            *("GEOPOS $9 a b", "GEOPOS $9"),
            *("GEOHASH $0 palermo none catania", "GEOHASH $0", "GEOHASH $9 a b", "GEOHASH $9"),
            "GEOPOS $0 none",
            *("GEODIST $0 palermo catania", "GEODIST $0 palermo palermo"),
            *("GEODIST $0 palermo none", "GEODIST $0 a b"),
            *(f"GEODIST $0 palermo catania {unit}" for unit in UNITS),
            *(f"GEODIST $0 palermo agrigento {unit}" for unit in UNITS[:4]),
            *("GEODIST $9 a b", "GEODIST $9 a b yd", "GEODIST $0 palermo"),
            *("GEODIST $0 palermo catania km x", "GEODIST"),
            *("SET $1 s", "GEOPOS $1 a", "GEOHASH $1 a", "GEODIST $1 a b", "GEODIST $1 a b yd"),
            *("GEOPOS", "GEOHASH"),
        ),
    ]


def _search_option_cases() -> list[Case]:
    froms = [
        "FROMMEMBER palermo",
        "FROMLONLAT 15 37",
        "FROMMEMBER none",
        "FROMLONLAT 200 37",
        "FROMLONLAT x 37",
    ]
    shapes = [
        "BYRADIUS 200 km",
        "BYBOX 400 400 km",
        "BYRADIUS 0 m",
        "BYBOX 0 0 m",
        "BYRADIUS 100 mi",
    ]
    options = [
        *("ASC", "DESC", "ASC COUNT 1", "COUNT 2", "COUNT 1 ANY", "ASC WITHDIST", "DESC WITHCOORD"),
        "ASC WITHHASH",
        *(f"DESC {SHORT} COUNT 2", "ASC DESC", "COUNT 2 ANY DESC WITHDIST", "COUNT 100"),
        "asc withdist count 2 any",
    ]
    refused = [
        *("FROMMEMBER palermo", "BYRADIUS 1 km"),
        *("FROMMEMBER palermo FROMLONLAT 15 37 BYRADIUS 1 km", "FOO"),
        *("FROMMEMBER palermo BYRADIUS 1 km BYBOX 1 1 km", "FROMMEMBER palermo BYRADIUS 1"),
        "FROMMEMBER palermo BYRADIUS",
        *("FROMMEMBER palermo BYBOX 1 1", "FROMMEMBER palermo BYRADIUS x km"),
        "FROMMEMBER palermo BYRADIUS -1 km",
        *("FROMMEMBER palermo BYRADIUS 1 yd", "FROMMEMBER palermo BYBOX -1 1 km"),
        "FROMMEMBER palermo BYBOX 1 -1 km",
        *("FROMMEMBER palermo BYBOX x 1 km", "FROMMEMBER palermo BYBOX 1 x km"),
        "FROMMEMBER palermo BYBOX 1 1 yd",
        *("FROMMEMBER palermo BYRADIUS nan km", "FROMMEMBER palermo BYRADIUS 1 km COUNT"),
        "FROMLONLAT 15",
        *("FROMMEMBER palermo BYRADIUS 1 km COUNT 0", "FROMMEMBER palermo BYRADIUS 1 km COUNT -1"),
        "FROMLONLAT",
        *("FROMMEMBER palermo BYRADIUS 1 km COUNT x", "FROMMEMBER palermo BYRADIUS 1 km ANY"),
        "FROMMEMBER",
        "FROMMEMBER palermo BYRADIUS 1 km COUNT 1 ANY ANY",
        "FROMMEMBER palermo BYRADIUS 1 km ANY COUNT 1",
        "FROMMEMBER palermo BYRADIUS 1 km STORE $1",
        *("FROMMEMBER palermo BYRADIUS 1 km STOREDIST", "FROMLONLAT 15 x"),
        *("FROMMEMBER palermo BYRADIUS 1 km FOO", "BYRADIUS 1 km FROMMEMBER"),
        *("FROMLONLAT 15 37 BYBOX 1 km", ""),
        "FROMMEMBER palermo FROMMEMBER catania BYRADIUS 1 km",
        "FROMMEMBER palermo BYRADIUS 1 km BYRADIUS 200 km",
        "FROMMEMBER none BYRADIUS 1 km FOO",
        "FROMMEMBER palermo BYRADIUS 1 km COUNT 9223372036854775808",
        "FROMLONLAT 15 37 FROMLONLAT 13 37 BYRADIUS 100 km",
        "FROMMEMBER palermo BYRADIUS inf km ASC",
    ]
    return [
        *in_both_protocols(
            "geosearch-options",
            f"GEOADD $0 {SICILY}",
            *(f"GEOSEARCH $0 {f} {shape} ASC" for f in froms for shape in shapes),
            *(f"GEOSEARCH $0 FROMLONLAT 15 37 {s} {o}" for s in shapes[:2] for o in options),
            "GEOSEARCH $0 BYBOX 300 300 km ASC FROMMEMBER catania",
            "GEOSEARCH $9 FROMMEMBER a BYRADIUS 1 km",
            "GEOSEARCH $9 FROMLONLAT 15 37 BYRADIUS 1 km",
            "GEOSEARCH $9 FROMLONLAT 15 37 BYRADIUS 1 km FOO",
        ),
        case(
            "geosearch-refused",
            f"GEOADD $0 {SICILY}",
            *(f"GEOSEARCH $0 {words}" for words in refused),
            *(f"GEOSEARCHSTORE $1 $0 {words}" for words in refused),
            *(f"GEOSEARCH $9 {words}" for words in refused[:12]),
            *("EXISTS $1", "GEOSEARCH $0 FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST", "SET $2 s"),
            *("GEOSEARCH $2 FROMLONLAT 15 37 BYRADIUS 1 km", "GEOSEARCH $2 FOO", "GEOSEARCH"),
            "GEOSEARCH $0",
            *("GEOSEARCHSTORE", "GEOSEARCHSTORE $1", "GEOSEARCHSTORE $1 $0"),
            "GEOSEARCHSTORE $1 $2 FROMLONLAT 1 1 BYRADIUS 1 m",
        ),
    ]


def _store_cases() -> list[Case]:
    search = "FROMLONLAT 15 37 BYRADIUS 200 km"
    forms = [
        *(search, f"{search} STOREDIST", f"{search} COUNT 2", f"{search} COUNT 1 ANY"),
        f"{search} DESC COUNT 2 STOREDIST",
        *("FROMLONLAT 15 37 BYRADIUS 1 m", f"{search} WITHDIST", f"{search} WITHCOORD STOREDIST"),
        f"{search} WITHHASH",
        "FROMMEMBER catania BYBOX 300 300 mi STOREDIST",
        "FROMMEMBER catania BYBOX 300 300 km ASC COUNT 1",
        *("FROMMEMBER none BYRADIUS 1 km", f"{search} STORE $3", f"{search} STOREDIST STOREDIST"),
    ]
    old = [
        *("GEORADIUS $0 15 37 200 km STORE $1", "GEORADIUS $0 15 37 200 km STOREDIST $1"),
        "GEORADIUS $0 15 37 1 m STORE $1",
        "GEORADIUS $0 15 37 200 km STORE $2 STOREDIST $1",
        "GEORADIUS $0 15 37 200 km COUNT 1 STORE $1",
        *("GEORADIUS $0 15 37 200 km WITHDIST STORE $1", "GEORADIUS $0 15 37 200 km STORE"),
        "GEORADIUS $9 1 1 1 m STORE $1",
        "GEORADIUSBYMEMBER $0 catania 200 km STORE $1",
        "GEORADIUSBYMEMBER $0 catania 200 km STOREDIST $1 DESC",
        *("GEORADIUSBYMEMBER $0 none 200 km STORE $1", "GEORADIUSBYMEMBER $9 none 200 km STORE $1"),
        "GEORADIUS_RO $0 15 37 200 km STORE $1",
        "GEORADIUSBYMEMBER_RO $0 catania 200 km STOREDIST $1",
    ]
    stored = Do("ZRANGE $1 0 -1 WITHSCORES", mask=shortest_doubles)
    commands = [f"GEOSEARCHSTORE $1 $0 {words}" for words in forms] + old
    return [
        case(
            "geo-stores",
            f"GEOADD $0 {SICILY}",
            *(
                step
                for command in commands
                for step in ("ZADD $1 5 old", command, stored, "DEL $1")
            ),
            *("SET $1 s", f"GEOSEARCHSTORE $1 $0 {search}", "TYPE $1", "SET $1 s"),
            f"GEOSEARCHSTORE $1 $9 {search}",
            *("EXISTS $1", f"GEOSEARCHSTORE $0 $0 {search} COUNT 2", "ZRANGE $0 0 -1"),
            "EXPIRE $0 1000",
            *(f"GEOSEARCHSTORE $0 $0 {search} STOREDIST", "TTL $0", "ZCARD $0", "SET $4 s"),
            f"GEOSEARCHSTORE $1 $4 {search}",
            *("GEOSEARCHSTORE $1 $0 FROMLONLAT 0 0 BYRADIUS 1 m", "EXISTS $1"),
            *("GEORADIUS $4 1 1 1 m STORE $0", "GET $4"),
        )
    ]


def _radius_cases() -> list[Case]:
    """The older commands. Their searches are those of GEOSEARCH, their options almost."""
    words = [
        *("15 37 200 km ASC", "15 37 200 km DESC WITHDIST", f"15 37 200 km ASC {SHORT}"),
        "15 37 200 km COUNT 1",
        *("15 37 200 km COUNT 1 ANY", "15 37 200 km COUNT 0", "15 37 200 km COUNT -1"),
        "15 37 200 km COUNT x",
        *("15 37 200 km ANY", "15 37 200 km FOO", "15 37 200 yd", "15 37 -1 km", "15 37 x km"),
        "200 37 1 km",
        *("x 37 1 km", "15 x 1 km", "15 91 1 km", "15 37 200", "15 37", "15", "15 37 nan km"),
        "15 37 200 km FROMMEMBER a",
        *("15 37 200 km BYBOX 1 1 km", "15 37 0 m", "15 37 200 km STOREDIST"),
        "15 37 200 km asc count 2 withcoord",
        *("15 37 200 km COUNT 2 ANY WITHDIST", "15 37 1e10 m ASC"),
    ]
    by_member = [
        *("palermo 200 km ASC", "palermo 200 km DESC WITHDIST", "catania 1000 ft", "none 1 km"),
        *("palermo x km", "palermo 1"),
        *("palermo -1 km", "palermo 1 yd", f"agrigento 300 km ASC {SHORT}"),
        *("palermo 200 km COUNT 2 ASC", "palermo"),
        *("palermo 200 km COUNT 0", "palermo 200 km FOO", "none x km"),
        *("palermo 200 km BYRADIUS 1 km", "palermo 0 m"),
    ]
    return in_both_protocols(
        "georadius",
        f"GEOADD $0 {SICILY}",
        *(f"{verb} $0 {w}" for verb in ("GEORADIUS", "GEORADIUS_RO") for w in words),
        *(
            f"{verb} $0 {w}"
            for verb in ("GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO")
            for w in by_member
        ),
        *("GEORADIUS $9 15 37 200 km", "GEORADIUS $9 15 37 200 km FOO", "GEORADIUS $9 x 37 200 km"),
        "SET $1 s",
        *("GEORADIUS $1 15 37 200 km", "GEORADIUS $1 x 37 200 km", "GEORADIUSBYMEMBER $1 a 1 km"),
        "GEORADIUS",
        *("GEORADIUSBYMEMBER $9 a 1 km", "GEORADIUSBYMEMBER $9 a x km", "GEORADIUS $0"),
        "GEORADIUSBYMEMBER",
        *("GEORADIUS_RO", "GEORADIUSBYMEMBER_RO", "GEORADIUS $0 FROMLONLAT 15 37 1 km"),
        "GEORADIUS $0 15 37 1 km WITHDIST x",
    )


def _search_cases() -> list[Case]:
    """Where searches end: unsorted, so that the order in which cells are visited shows as well."""
    centers = {
        "sicily": (
            1,
            80,
            (12, 36, 4, 3),
            [(13.9, 37.5), (12, 36), (15.999, 38.999)],
            (1, 30, 90, 300),
        ),
        "equator": (
            2,
            80,
            (-2, -2, 4, 4),
            [(0, 0), (1e-7, -1e-7), (-1.9, 1.9)],
            (0.5, 50, 150, 400),
        ),
        "date-line": (
            3,
            80,
            (178, -1, 2, 2),
            [(180, 0), (-180, 0), (179.9, 0.5)],
            (1, 50, 150, 300),
        ),
        "far-east": (8, 40, (-180, -1, 2, 2), [(-179.9, 0), (-180, 0.5)], (20, 100, 250)),
        "north": (
            4,
            80,
            (-180, 80, 360, 5),
            [(0, 85), (90, 84.9), (-120, 80.5)],
            (50, 300, 900, 1500),
        ),
        "south": (5, 60, (-180, -85, 360, 5), [(0, -85), (179, -84)], (50, 300, 900, 1500)),
        "world": (
            6,
            150,
            (-180, -85, 360, 170),
            [(0, 0), (-75, 40), (179, -60)],
            (500, 2500, 8000, 25000),
        ),
        "street": (
            7,
            60,
            (4.89, 52.37, 0.002, 0.002),
            [(4.891, 52.371), (4.89, 52.37)],
            (0.01, 0.05, 0.2),
        ),
    }
    cases = []
    for name, (seed, count, box, middles, sizes) in centers.items():
        searches = []
        for lon, lat in middles:
            for size in sizes:
                near = f"GEOSEARCH $0 FROMLONLAT {lon} {lat}"
                searches += [
                    f"{near} BYRADIUS {size} km",
                    f"{near} BYRADIUS {size} km ASC COUNT 5 WITHDIST",
                ]
                searches += [
                    f"{near} BYBOX {size * 2} {size} km",
                    f"{near} BYBOX {size / 3} {size * 2} km DESC COUNT 9",
                ]
                searches += [
                    f"{near} BYRADIUS {size} mi COUNT 3 ANY",
                    f"{near} BYBOX {size} {size} mi COUNT 3 ANY",
                ]
        members = (
            f"GEOSEARCH $0 FROMMEMBER p{at} BYRADIUS {sizes[1]} km WITHDIST" for at in range(3)
        )
        boxes = (
            f"GEOSEARCH $0 FROMMEMBER p{at} BYBOX {sizes[-1]} 1 km WITHDIST" for at in range(3)
        )
        distances = (f"GEODIST $0 p{at} p{at + 1}" for at in range(12))
        cases.append(
            case(
                f"geosearch-{name}",
                _points(seed, count, *box),
                *searches,
                *members,
                *boxes,
                *distances,
            )
        )
    return cases


CASES = [
    *_add_cases(),
    *_search_option_cases(),
    *_store_cases(),
    *_radius_cases(),
    *_search_cases(),
    case(
        "geo-of-many",
        _points(9, 2000, 0, 40, 10, 10),
        *("ZCARD $0", "GEOSEARCH $0 FROMLONLAT 5 45 BYRADIUS 100 km"),
        "GEOSEARCH $0 FROMLONLAT 5 45 BYBOX 300 20 km",
        "GEOSEARCH $0 FROMLONLAT 5 45 BYRADIUS 5000 km ASC COUNT 20 WITHDIST",
        "GEOPOS $0 p0 p1 p2 p3 p4 p5 p6",
        "GEOSEARCH $0 FROMLONLAT 5 45 BYRADIUS 5000 km COUNT 30 ANY",
        "GEOHASH $0 p0 p1 p2 p3 p4 p5 p6 p7 p8",
        *("GEOSEARCHSTORE $1 $0 FROMLONLAT 5 45 BYRADIUS 5000 km STOREDIST", "ZCARD $1"),
        "OBJECT ENCODING $1",
        *("GEOSEARCHSTORE $2 $0 FROMMEMBER p7 BYBOX 100 100 km", "ZRANGE $2 0 -1"),
        "GEOSEARCHSTORE $0 $0 FROMLONLAT 5 45 BYRADIUS 30 km",
        "ZRANGE $0 0 -1",
    ),
    case(
        "geo-pipeline-over-shards",
        Pipe([f"GEOADD ${at % 10} {at % 170} {at % 80} m{at}" for at in range(200)]),
        Pipe(
            [
                f"GEOSEARCH ${at} FROMLONLAT {at * 10} {at * 7} BYRADIUS 3000 km ASC WITHDIST"
                for at in range(10)
            ]
        ),
        Pipe(
            [
                f"GEOSEARCHSTORE ${at} ${(at + 1) % 10} FROMLONLAT 10 10 BYRADIUS 4000 km"
                for at in range(10)
            ]
        ),
        Pipe([f"ZRANGE ${at} 0 -1" for at in range(10)]),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_geo(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)
