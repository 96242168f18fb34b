"""Other interpreters in the process, and other copies of the module: refused cleanly, or harmless.

Of what is not declared (a module for subinterpreters, a module without the GIL) nothing is
promised but that.
"""

from __future__ import annotations

import importlib.util
import sysconfig

import pytest
from programs import Program

SUBINTERPRETERS = [
    name
    for name in ("_interpreters", "_xxsubinterpreters")
    if importlib.util.find_spec(name) is not None
]


@pytest.mark.skipif(not SUBINTERPRETERS, reason="this Python shows no subinterpreters")
@pytest.mark.parametrize("isolated", [True, False])
def test_subinterpreters_are_refused(isolated: bool, program: Program) -> None:
    """With a GIL of their own and without; the server of the main one does not notice."""
    output = program(f"""
        import {SUBINTERPRETERS[0]} as interpreters
        import kevyrt

        def create():
            try:  # from 3.13 on by name
                return interpreters.create("isolated" if {isolated} else "legacy")
            except TypeError:
                return interpreters.create(isolated={isolated})

        lines = (
            "try:",
            "    import kevyrt",
            "except ImportError as error:",
            "    print('refused:', 'subinterpreter' in str(error), flush=True)",
        )
        with kevyrt.Server() as server:
            for _ in range(3):
                other = create()
                run = getattr(interpreters, "exec", None) or interpreters.run_string
                raised = run(other, "\\n".join(lines))
                assert raised is None, raised
                interpreters.destroy(other)
            server.set("k", "v")
            print(server.get("k"))
    """)
    assert output == "refused: True\n" * 3 + "b'v'\n"


def test_a_second_copy_of_the_module(program: Program) -> None:
    """As some test runners make one: each has its types, and servers of both run side by side."""
    output = program("""
        import importlib, sys
        import kevyrt

        first = kevyrt.Server().start()
        for name in [name for name in sys.modules if name.partition(".")[0] == "kevyrt"]:
            del sys.modules[name]
        again = importlib.import_module("kevyrt")
        assert again is not kevyrt
        with again.Server() as second:
            second.set("k", "second")
            first.set("k", "first")
            for owner, server in ((kevyrt, first), (again, second)):
                print(server.get("k"), server.session().execute("GET", "k"))
                try:
                    server.execute("LPUSH", "k", 1)
                except owner.WrongTypeError:
                    print("its own error")
        del kevyrt
        print(first.get("k"))
        first.stop()
    """)
    expected = [b"first", b"second"]
    assert output == "".join(f"{v} {v}\nits own error\n" for v in expected) + "b'first'\n"


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has always a GIL"
)
def test_a_build_without_a_gil_turns_it_on(program: Program) -> None:
    """The module does not say that it can do without, so Python gives it one, with a warning."""
    output = program("""
        import sys, warnings
        warnings.simplefilter("ignore")
        import kevyrt
        print(sys._is_gil_enabled())
    """)
    assert output == "True\n"
