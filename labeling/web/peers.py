"""Where a request comes from: the peer itself, or whom a trusted proxy says it speaks for.

A proxy is trusted by its address (ASKWISE_TRUSTED_PROXIES). What it says in `X-Forwarded-*`, and in the header that
names the user (ASKWISE_USER_HEADER), is believed; the same from anybody else is not.
"""

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Scope

from labeling.errors import Invalid

FORWARDED = {"forwarded", "x-forwarded-for", "x-real-ip"}
SOMEWHERE = "forwarded"  # the address of whom an unknown proxy speaks for: it may say what it likes
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Proxies:
    """The proxies that are trusted.

    Attributes
    ----------
    networks
        Their addresses.
    user_header
        The header in which they name the user, in small letters; empty where they name none.
    """

    networks: tuple[Network, ...] = ()
    user_header: str = ""

    @classmethod
    def of_environment(cls) -> "Proxies":
        """Those that the environment names.

        Raises
        ------
        Invalid
            If an address is none, or a header names users that no proxy is trusted for.
        """
        given = os.environ.get("ASKWISE_TRUSTED_PROXIES", "").replace(",", " ").split()
        header = os.environ.get("ASKWISE_USER_HEADER", "").strip().lower()
        try:
            networks = tuple(ipaddress.ip_network(each) for each in given)
        except ValueError as error:
            raise Invalid(f"ASKWISE_TRUSTED_PROXIES holds addresses, as in 10.0.0.5 or 10.0.0.0/24; {error}.") from None
        if header and not networks:
            raise Invalid("ASKWISE_USER_HEADER counts only from a proxy; name its address in ASKWISE_TRUSTED_PROXIES.")
        return cls(networks, header)

    def trusts(self, address: str) -> bool:
        """Whether this is the address of a trusted proxy."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(mapped in network for network in self.networks)


@dataclass(frozen=True)
class Caller:
    """Where one request comes from.

    Attributes
    ----------
    address
        Of the browser, as far as anybody who is trusted says so.
    secure
        Whether it came over https.
    host
        By what name it reached this server, with the port.
    origin
        The site of the page that sends it; empty where none is said.
    site
        What the browser says of that site: `Sec-Fetch-Site`.
    user
        Whom a trusted proxy names; empty where it names nobody.
    here
        Whether everything says that it is from this very machine.
    """

    address: str
    secure: bool
    host: str
    origin: str
    site: str
    user: str
    here: bool

    @property
    def at_home(self) -> bool:
        """Whether a page of this server sends it, as far as the browser says."""
        if self.origin:
            return same_origin(self.origin, self.host, self.secure)
        return self.site in ("", "same-origin", "none")

    @property
    def url(self) -> str:
        """By what address it reached this server."""
        return f"{'https' if self.secure else 'http'}://{self.host}"


class Forged(Exception):
    """A header that only a trusted proxy may send came from somebody else, or came twice."""


def caller_of(scope: Scope, proxies: Proxies) -> Caller:
    """Where a request comes from.

    Raises
    ------
    Forged
        If it names its user in a header that is not its to send.
    """
    named: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        named.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    said = {name: values[-1] for name, values in named.items()}
    peer = (scope.get("client") or ("", 0))[0]
    secure, host, origin = scope.get("scheme") in ("https", "wss"), said.get("host", ""), said.get("origin", "")
    users = named.get(proxies.user_header, []) if proxies.user_header else []
    if proxies.trusts(peer):
        if len(users) > 1:
            raise Forged
        chain = [_name(each.strip()) for each in ",".join(named.get("x-forwarded-for", [])).split(",") if each.strip()]
        address = next((each for each in reversed(chain) if not proxies.trusts(each)), peer)
        secure = said.get("x-forwarded-proto", "https" if secure else "http").lower() in ("https", "wss")
        host = said.get("x-forwarded-host", host)
        return Caller(address, secure, host, origin, said.get("sec-fetch-site", ""), "".join(users), here=False)
    if users:
        raise Forged
    forwarded = bool(FORWARDED & named.keys())
    hosts = [peer, _name(host), *([_name(origin.partition("://")[2])] if origin else [])]
    return Caller(
        SOMEWHERE if forwarded else peer, secure, host, origin, said.get("sec-fetch-site", ""), "",
        here=not forwarded and _all_loopback(hosts),
    )  # fmt: skip


def same_origin(origin: str, host: str, secure: bool) -> bool:
    """Whether a page's origin is that of the server which goes by this host."""
    scheme = "https" if secure else "http"
    try:
        theirs, ours = urlsplit(origin), urlsplit(f"{scheme}://{host}")
        return (
            bool(theirs.hostname)
            and theirs.scheme == scheme
            and theirs.hostname == ours.hostname
            and (theirs.port or DEFAULT_PORTS[scheme]) == (ours.port or DEFAULT_PORTS[scheme])
        )
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether a name or an address means the machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _all_loopback(hosts: Iterable[str]) -> bool:
    return all(map(is_loopback, hosts))


def _name(netloc: str) -> str:
    """The host of `host:port` or `[v6]:port`, also where there is no port; some proxies forward one."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0]
    return netloc.partition(":")[0] if netloc.count(":") == 1 else netloc
