"""Calls of every method.

test_three_ways.py makes each of them in every way there is, and test_signatures.py finds out of it
that no method is forgotten.
"""

from __future__ import annotations

import calls_of_the_rest
import calls_of_values
from calls import CALLS, Call

__all__ = ["CALLS", "Call", "calls_of_the_rest", "calls_of_values"]
