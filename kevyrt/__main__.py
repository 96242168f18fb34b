"""python -m kevyrt: kevyrt-server."""

import sys

from kevyrt.cli import main

if __name__ == "__main__":
    sys.exit(main())
