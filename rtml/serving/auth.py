"""Who may change something: nobody from outside this machine without the token."""

from __future__ import annotations

import hmac
import os
import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from rtml.serving.schemas import Refused

TOKEN = "RTML_TOKEN"  # the only place that the token is read from
SHORTEST = 16  # characters of a token
NEEDED = f"this call changes something: send 'Authorization: Bearer ...' with the secret of {TOKEN}"
FOREIGN = f"a page of another origin may not call this: call from this machine, or with {TOKEN} as bearer"
HOSTS = "RTML_HOSTS"  # names, comma separated, by which this endpoint may be asked for beside this machine's
STRANGE = f"this endpoint is not known by that name: ask for 127.0.0.1, or put the name into {HOSTS}"
_PAGES = ("/", "/docs")  # where a link of another site may lead


class Access:
    """The rule for calls that change something: answers, promotions, rollbacks.

    With a token they need it, compared in constant time. Without one the endpoint is for this machine alone, and a
    page of another site, opened in a browser here, is refused too. The token is in no message and no ``repr``.

    Examples
    --------
    >>> Access().guarded, Access("a secret of the house".replace(" ", "-"))
    (False, Access(guarded=True))
    >>> Access("short")
    Traceback (most recent call last):
    ValueError: RTML_TOKEN has 5 characters: take 16 or more, letters, digits and marks without spaces
    """

    def __init__(self, token: str = "", hosts: Iterable[str] = ()) -> None:
        if token and (len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token):
            rule = f"take {SHORTEST} or more, letters, digits and marks without spaces"
            raise ValueError(f"{TOKEN} has {len(token)} characters: {rule}")
        self._expected = f"Bearer {token}".encode() if token else b""
        self._seen: set[bytes] = set()  # hosts that were found to be known
        self._hosts = {host.strip().lower() for host in (*hosts, socket.gethostname()) if host.strip()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, host: str = "") -> Access:
        """The access that the environment asks for, at an endpoint of this host; an empty variable is none."""
        return cls(environment.get(TOKEN, "").strip(), (host, *environment.get(HOSTS, "").split(",")))

    @property
    def guarded(self) -> bool:
        """Whether a token is needed."""
        return bool(self._expected)

    def __repr__(self) -> str:
        return f"Access(guarded={self.guarded})"

    def check(self, scope: dict) -> None:
        """Refuse a request that may not change anything."""
        if self._expected and not self._authorized(dict(scope["headers"])):
            raise Refused(401, NEEDED)

    def admit(self, scope: dict) -> None:
        """Refuse a request, whatever it asks for, that a page of another site sends, or that took a strange name here.

        A page may let its own name point to this machine (DNS rebinding): so names are known ones, or addresses. It
        may also just send what a browser sends without asking: so what a browser says of where it comes from counts.
        """
        headers = dict(scope["headers"])
        host, origin = headers.get(b"host", b""), headers.get(b"origin", b"")
        site = headers.get(b"sec-fetch-site", b"")
        if host and not self._known(host):
            raise Refused(403, STRANGE)
        page = headers.get(b"sec-fetch-mode") == b"navigate" and scope["method"] == "GET" and scope["path"] in _PAGES
        foreign = site in (b"cross-site", b"same-site") and not page
        if (foreign or (origin and not _same(origin, host))) and not self._authorized(headers):
            raise Refused(403, FOREIGN)

    def _authorized(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request brings the token."""
        sent = _scheme_lowered(headers.get(b"authorization", b""))
        return bool(self._expected) and hmac.compare_digest(sent, self._expected)

    def _known(self, host: bytes) -> bool:
        """Whether a name of this endpoint; asked at every request, so that the last ones are remembered."""
        if host in self._seen:
            return True
        name = (_netloc(b"//" + host) or [""])[0]
        known = name in self._hosts or _is_address(name) or is_local(name)
        if known and len(self._seen) < 100:
            self._seen.add(host)
        return known


def is_local(host: str) -> bool:
    """Whether an address is one of this machine alone.

    Examples
    --------
    >>> [is_local(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "", "192.168.1.5", "example.org")]
    [True, True, True, False, False, False, False]
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_host(host: str, guarded: bool) -> None:
    """Refuse to listen for other machines without a token.

    Examples
    --------
    >>> check_host("127.0.0.1", guarded=False)
    >>> check_host("0.0.0.0", guarded=False)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: host '0.0.0.0' can be reached from other machines...
    """
    if not is_local(host) and not guarded:
        raise ValueError(
            f"host {host!r} can be reached from other machines, and anyone there could change what serves: "
            f"set {TOKEN} to a secret of {SHORTEST} characters or more, or stay on 127.0.0.1"
        )


def _scheme_lowered(sent: bytes) -> bytes:
    """The header with its scheme as we write it: HTTP does not care about the case of ``Bearer``."""
    scheme, space, rest = sent.partition(b" ")
    return b"Bearer" + space + rest.strip() if scheme.lower() == b"bearer" else sent


def _same(origin: bytes, host: bytes) -> bool:
    """Whether a page came from this very endpoint."""
    found = _netloc(origin)
    return found is not None and found[1].lower().encode("latin-1") == host.lower()


def _netloc(url: bytes) -> tuple[str, str] | None:
    """Name and name with port of a URL, None where it is none."""
    try:
        parts = urlsplit(url.decode("latin-1"))
        return (parts.hostname or "").lower(), parts.netloc
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        return bool(ip_address(name))
    except ValueError:
        return False
