"""Where a client is, and by which address it asks: what its proxies say of it, or ``PUBLIC_URL``.

``X-Forwarded-For`` has the address from which each proxy was asked, that of the last proxy at the right. It is read
from there, until an address that is no proxy of ours (as nginx does with ``real_ip_recursive``, and uvicorn). Of a
list in another header, the value counts that the outermost of these proxies added: the n-th from the right, if n of
them were passed (as in Werkzeug's ``ProxyFix``, where n is a setting). What a client sent itself is to the left of
that. Most proxies replace these headers; then there is one value only.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from elasticpypi.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from elasticpypi.config import Config

NOBODY = "none"
SCHEMES = {"http": ":80", "https": ":443"}
AUTHORITY = re.compile(r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[([0-9a-f:.]+)\])(?::([0-9]{1,5}))?")
PREFIX = re.compile(r"(?:/[A-Za-z0-9_~+-][A-Za-z0-9._~+-]*)+")
# What addresses of ours begin with: below such a prefix, nothing else tells whether a proxy has stripped it.
OURS = {"+simple", "_", "health", "legacy", "manage", "packages", "project", "pypi", "search", "simple", "static"}
OURS |= {"upload", "uploads"}


def networks(text: str) -> tuple[str, ...]:
    """``PROXIES``: addresses and networks, or "none"; :class:`ConfigurationError` names the first that is neither."""
    found = []
    for each in text.replace(",", " ").split() if text.lower() != NOBODY else ():
        try:
            found.append(str(ip_network(each, strict=False)))
        except ValueError:
            raise ConfigurationError(
                f"PROXIES: {each!r} is no address and no network: give some such as 10.0.0.0/8 or ::1, or none."
            ) from None
    return tuple(found)


def public_url(text: str) -> str:
    """``PUBLIC_URL`` without a slash at its end; :class:`ConfigurationError` if it cannot be the home page."""
    scheme, _, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    base, prefix = _origin(scheme.lower(), host), _prefix(slash + path)
    if base is None or prefix is None:
        raise ConfigurationError(
            "PUBLIC_URL must be the address of the home page, such as https://pypi.example.com or "
            "https://example.com/pypi: http or https, a host, and a path if need be."
        )
    if prefix.rpartition("/")[2] == "simple":
        raise ConfigurationError("PUBLIC_URL is the address of the home page, not of the index: leave /simple off.")
    return base + prefix


def behind(app: "WSGIApplication", config: "Config") -> "WSGIApplication":
    """``app``, for which the environment of a request is as the client made it, whatever proxies are in between.

    ``REMOTE_ADDR`` is the client's; ``wsgi.url_scheme``, ``HTTP_HOST`` and ``SCRIPT_NAME`` are those by which it asks.
    A prefix that is still in ``PATH_INFO`` is taken away. What cannot be true is ignored.
    """
    believed = list(map(ip_network, config.proxies))
    public = urlsplit(config.public_url) if config.public_url else None

    @lru_cache(maxsize=1024)
    def look(text: str) -> tuple[str, bool]:
        """An address as it is written, "" if it is none; whether it is a proxy's."""
        try:
            address = ip_address(text)
        except ValueError:
            return "", False
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        return str(address), any(address in network for network in believed)

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        client, is_proxy = look(environ.get("REMOTE_ADDR") or "")
        scheme = host = prefix = None
        if is_proxy:
            passed = 1
            for number, hop in enumerate(reversed(_values(environ, "FOR")), 1):
                address, its = look(_without_port(hop))
                if not address:
                    break
                client, passed = address, number
                if not its:
                    break

            def said(name: str, read: Callable[[str], str | None]) -> str | None:
                values = _values(environ, name)
                return read(values[-min(passed, len(values))]) if values else None

            scheme, host, prefix = said("PROTO", _scheme), said("HOST", _authority), said("PREFIX", _prefix)
        if client:
            environ["REMOTE_ADDR"] = client
        if public:
            scheme, host, prefix = public.scheme, public.netloc, public.path
        environ["wsgi.url_scheme"] = scheme or _scheme(environ["wsgi.url_scheme"]) or "https"
        if host:
            environ["HTTP_HOST"] = host
        if prefix is not None:
            environ["SCRIPT_NAME"] = prefix
            environ["PATH_INFO"] = _below(prefix, environ["PATH_INFO"])
        return app(environ, start_response)

    return application


def origin_of(environ: "WSGIEnvironment") -> str:
    """Scheme, host and port by which the client of a request asks, as browsers write it (RFC 6454)."""
    scheme = environ["wsgi.url_scheme"]
    if (origin := _origin(scheme, environ.get("HTTP_HOST", ""))) is None:  # HTTP/1.0 has no Host
        name, port = environ["SERVER_NAME"], environ["SERVER_PORT"]
        origin = _origin(scheme, f"[{name}]:{port}" if ":" in name else f"{name}:{port}")
    return origin or f"{scheme}://localhost"


def base_url(environ: "WSGIEnvironment") -> str:
    """The URL of the home page, with a slash at its end, by which the client of a request asks."""
    return f"{origin_of(environ)}{quote(environ.get('SCRIPT_NAME', '').encode('latin-1'), safe='/+')}/"


def _values(environ: "WSGIEnvironment", name: str) -> list[str]:
    text = environ.get(f"HTTP_X_FORWARDED_{name}")
    return [value.strip() for value in text.split(",")] if text else []


def _without_port(text: str) -> str:
    """Some proxies add it; an address with a zone (RFC 4007) is none of a client."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return "" if "%" in text else text


def _scheme(text: str) -> str | None:
    return text.lower() if text.lower() in SCHEMES else None


def _authority(text: str) -> str | None:
    """RFC 3986, 3.2.2, without a user: a name, or an address, and a port."""
    if not (found := AUTHORITY.fullmatch(text.lower())) or int(found[2] or 0) > 65535:
        return None
    if found[1]:
        try:
            IPv6Address(found[1])
        except ValueError:
            return None
    return found[0]


def _prefix(text: str) -> str | None:
    prefix = text.rstrip("/")
    return prefix if not prefix or PREFIX.fullmatch(prefix) else None


def _origin(scheme: str, host: str) -> str | None:
    authority = _authority(host)
    return f"{scheme}://{authority.removesuffix(SCHEMES[scheme])}" if scheme in SCHEMES and authority else None


def _below(prefix: str, path: str) -> str:
    """What a path is below a prefix; all of it, if a proxy has stripped that already."""
    rest = path.removeprefix(prefix)
    if not prefix or rest == path or (rest and not rest.startswith("/")):
        return path
    if prefix.split("/")[1] in OURS and rest.strip("/") and rest.split("/")[1] not in OURS:
        return path  # /pypi/demo/json, where /pypi is the prefix
    return rest or "/"
