"""What a child process finds as ``qbruntime``: it puts our package in its own place."""

from maccel_aio.compat import install

install()
