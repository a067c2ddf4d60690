"""`python3 -m toolchain build [TOOL…] | status | clean [caches]`."""

from toolchain.tools import command

command()
