"""python -m kevyrt: kevyrt-server."""

import sys

from kevyrt.cli import main

sys.exit(main())
