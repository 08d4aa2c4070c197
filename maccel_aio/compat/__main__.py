"""``python -m maccel_aio.compat PROGRAM``: see ``maccel_aio.compat._run``."""

import sys

from maccel_aio.compat._run import run

if __name__ == "__main__":
    run(sys.argv[1:])
