"""``python -m maccel_aio.cli``: the same as the program ``maccel-aio``."""

import sys

from maccel_aio.cli._main import main

if __name__ == "__main__":
    sys.exit(main())
