"""By which names the page may be asked, so that no page elsewhere can speak to it.

A browser obeys the page that it shows. A hostile page may send requests here, which bear its name
as their Origin, or may let its own name point here (DNS rebinding), which then stands in Host.
"""

import dataclasses
import ipaddress
import re
import socket
from collections.abc import Sequence

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9a-z._-]+))(?::[0-9]{1,5})?", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Names of the page.

    Attributes:
      here: of where it listens.
      public: of a proxy before it, which may differ from what the proxy asks by.
      addresses: whether any numeric address is one, for a page that listens on all: a name can be
        made to point anywhere, an address cannot.
    """

    here: frozenset[str]
    public: frozenset[str]
    addresses: bool

    def allow_host(self, host: str) -> bool:
        """Whether a Host header, with or without a port, is of this page."""
        name = _name(host)
        if name is None:
            return False
        return name in self.here | self.public or (self.addresses and _address(name) is not None)

    def allow_origin(self, origin: str, *, hosts: Sequence[str]) -> bool:
        """Whether an Origin header is this page's.

        Args:
          hosts: what Host and X-Forwarded-Host say, allowed already; the port counts.
        """
        scheme, mark, host = origin.lower().partition("://")
        if scheme not in ("http", "https") or not mark or _name(host) is None:
            return False
        return host in [h.lower() for h in hosts] or _name(host) in self.public


def find_hosts(host: str, *, allowed: Sequence[str] = ()) -> Hosts:
    """The names of a page that listens on `host`.

    Args:
      host: address or name.
      allowed: names besides, without ports.

    Raises:
      ValueError: if one of `allowed` is no name.
    """
    for name in allowed:
        bare = _name(name)
        if bare is None or bare not in (name.lower(), name.lower().strip("[]")):
            raise ValueError(
                "--allowed_hosts must be names or addresses, without http:// and ports, "
                f"separated by commas. Received: {name[:200]!r}"
            )
    bare = host.strip("[]").lower()
    address = ipaddress.ip_address("127.0.0.1") if bare == "localhost" else _address(bare)
    here = {bare}
    if address is not None and address.is_unspecified:
        here |= {*_LOOPBACK, socket.gethostname().lower()}
    elif address is not None and address.is_loopback:
        here |= set(_LOOPBACK)
    return Hosts(
        here=frozenset(here),
        public=frozenset(bare for name in allowed if (bare := _name(name))),
        addresses=address is not None and address.is_unspecified,
    )


def _name(host: str) -> str | None:
    """Without its port, in small letters; None for what is no host."""
    match = _HOST.fullmatch(host.lower())
    return None if match is None else match[1] or match[2]


def _address(name: str):
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
