"""`python3 -m toolchain build [TOOL…] | status | clean [caches]`."""

from toolchain.build import command

command()
