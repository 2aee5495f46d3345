"""Where a client is, and by which address it asks: what its proxies say of it, or ``PUBLIC_URL``.

``X-Forwarded-For`` has the address from which each proxy was asked, that of the last proxy at the right. It is read
from there, until an address that is no proxy of ours (as nginx does with ``real_ip_recursive``, and uvicorn). Of a
list in another header, the value counts that the outermost of these proxies added: the n-th from the right, if n of
them were passed (as in Werkzeug's ``ProxyFix``, where n is a setting). What a client sent itself is to the left of
that. Most proxies replace these headers; then there is one value only.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from elasticpypi.core.addresses import authority, origin, prefix, scheme

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from elasticpypi.config import Config

# What addresses of ours begin with: below such a prefix, nothing else tells whether a proxy has stripped it.
OURS = {
    "+simple",
    "_",
    "api",
    "events",
    "health",
    "legacy",
    "manage",
    "packages",
    "policy",
    "project",
    "pypi",
    "search",
    "simple",
    "static",
    "upstream",
}
OURS |= {"upload", "uploads"}


FORWARDED = tuple(f"HTTP_X_FORWARDED_{name}" for name in ("FOR", "PROTO", "HOST", "PREFIX"))


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
        its_scheme = its_host = its_prefix = None
        if is_proxy and any(map(environ.__contains__, FORWARDED)):
            passed = 1
            for number, hop in enumerate(reversed(_values(environ, "FOR")), 1):
                address, its = look(_without_port(hop))
                if not address:
                    break
                client, passed = address, number
                if not its:
                    break

            def header(name: str, read: Callable[[str], str | None]) -> str | None:
                values = _values(environ, name)
                return read(values[-min(passed, len(values))]) if values else None

            its_scheme, its_host, its_prefix = (
                header("PROTO", scheme),
                header("HOST", authority),
                header("PREFIX", prefix),
            )
        if client:
            environ["REMOTE_ADDR"] = client
        if public:
            its_scheme, its_host, its_prefix = public.scheme, public.netloc, public.path
        environ["wsgi.url_scheme"] = its_scheme or scheme(environ["wsgi.url_scheme"]) or "https"
        if its_host:
            environ["HTTP_HOST"] = its_host
        if its_prefix is not None:
            environ["SCRIPT_NAME"] = its_prefix
            environ["PATH_INFO"] = _below(its_prefix, environ["PATH_INFO"])
        return app(environ, start_response)

    return application


def origin_of(environ: "WSGIEnvironment") -> str:
    """Scheme, host and port by which the client of a request asks, as browsers write it (RFC 6454)."""
    its_scheme = environ["wsgi.url_scheme"]
    if (found := origin(its_scheme, environ.get("HTTP_HOST", ""))) is None:  # HTTP/1.0 has no Host
        name, port = environ["SERVER_NAME"], environ["SERVER_PORT"]
        found = origin(its_scheme, f"[{name}]:{port}" if ":" in name else f"{name}:{port}")
    return found or f"{its_scheme}://localhost"


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


def _below(prefix: str, path: str) -> str:
    """What a path is below a prefix; all of it, if a proxy has stripped that already."""
    rest = path.removeprefix(prefix)
    if not prefix or rest == path or (rest and not rest.startswith("/")):
        return path
    if prefix.split("/")[1] in OURS and rest.strip("/") and rest.split("/")[1] not in OURS:
        return path  # /pypi/demo/json, where /pypi is the prefix
    return rest or "/"
