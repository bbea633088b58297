"""A port, taken before anything slow is loaded."""

import socket

# Connections that wait while the model loads, or until the loop takes them.
_BACKLOG = 256


def listen(*, host: str, port: int, flag: str) -> socket.socket:
    """A socket that listens.

    It already listens, not only is bound: until one of them listens, Linux gives a port to two.

    Args:
      host: address or name of this machine.
      port: 0 is any that is free, see `getsockname`.
      flag: that the port came from, for the error.

    Raises:
      OSError: if the port cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        try:
            # A port whose last connections are just closed is free.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(_BACKLOG)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise OSError(
            f"cannot listen on {flag}={port} of --host={host}: {error.strerror}. Choose another "
            f"port, or {flag}=0 for any free port"
        ) from error
    return found
