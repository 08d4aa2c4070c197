"""What a child process finds as ``maccel``: it puts our package in its own place."""

from maccel_aio.compat import install

install()
