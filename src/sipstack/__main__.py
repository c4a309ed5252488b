"""`python -m sipstack` is the `sipstack` command."""

import sys

from sipstack.cli import main

if __name__ == "__main__":
    sys.exit(main())
