"""Who may change something: nobody from outside this machine without the token."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from rtml.serving.schemas import Refused

TOKEN = "RTML_TOKEN"  # the only place that the token is read from
SHORTEST = 16  # characters of a token
NEEDED = f"this call changes something: send 'Authorization: Bearer ...' with the secret of {TOKEN}"
FOREIGN = f"a page of another origin may not change anything here: call from this machine, or with {TOKEN} as bearer"


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

    def __init__(self, token: str = "") -> None:
        if token and (len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token):
            rule = f"take {SHORTEST} or more, letters, digits and marks without spaces"
            raise ValueError(f"{TOKEN} has {len(token)} characters: {rule}")
        self._expected = f"Bearer {token}".encode() if token else b""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Access:
        """The access that the environment asks for; an empty variable is none."""
        return cls(environment.get(TOKEN, "").strip())

    @property
    def guarded(self) -> bool:
        """Whether a token is needed."""
        return bool(self._expected)

    def __repr__(self) -> str:
        return f"Access(guarded={self.guarded})"

    def check(self, scope: dict) -> None:
        """Refuse a request that may not change anything."""
        headers = dict(scope["headers"])
        if self._expected:
            if not hmac.compare_digest(_scheme_lowered(headers.get(b"authorization", b"")), self._expected):
                raise Refused(401, NEEDED)
        elif b"origin" in headers and not _same_machine(headers[b"origin"], headers.get(b"host", b"")):
            raise Refused(403, FOREIGN)


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
    """Refuse to listen for other machines without a token."""
    if not is_local(host) and not guarded:
        raise ValueError(
            f"host {host!r} can be reached from other machines, and anyone there could change what serves: "
            f"set {TOKEN} to a secret of {SHORTEST} characters or more, or stay on 127.0.0.1"
        )


def _scheme_lowered(sent: bytes) -> bytes:
    """The header with its scheme as we write it: HTTP does not care about the case of ``Bearer``."""
    scheme, space, rest = sent.partition(b" ")
    return b"Bearer" + space + rest.strip() if scheme.lower() == b"bearer" else sent


def _same_machine(origin: bytes, host: bytes) -> bool:
    """Whether a page came from this very endpoint, under a name that only this machine has."""
    try:
        parts = urlsplit(origin.decode("latin-1"))
        return is_local(parts.hostname or "") and parts.netloc.encode("latin-1") == host
    except ValueError:
        return False
