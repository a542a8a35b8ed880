"""`python -m nerva` is the command `nerva`."""

import sys

from nerva.cli import main

if __name__ == "__main__":
    sys.exit(main())
