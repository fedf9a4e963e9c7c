"""`python -m trading`: see `trading.cli`."""

import sys

from trading.cli import main

if __name__ == "__main__":
    sys.exit(main())
