"""What the wire tests stand on: a raw RESP client, server launchers, the matrix and the comparer.

Everything here speaks bytes over sockets. Nothing imports kevyrt, so that the same tests run
against redis-server, against the Python command line and against a plain C server.
"""
