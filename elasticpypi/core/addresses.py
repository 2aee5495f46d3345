"""Addresses as settings and headers give them: checked, and in one spelling."""

import re
from ipaddress import IPv6Address, ip_network

from elasticpypi.core.errors import ConfigurationError

NOBODY = "none"
# The first parts of paths, of now and of later versions: no other index may be called so. A project may.
RESERVED = {
    *("simple", "legacy", "packages", "project", "pypi", "uploads", "upload", "manage", "search", "static", "health"),
    *("upstream", "policy", "events", "metrics", "stats", "login", "logout", "account", "admin", "integrity", "feeds"),
    *("files", "api", "default", "root"),
}
SCHEMES = {"http": ":80", "https": ":443"}
AUTHORITY = re.compile(r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[([0-9a-f:.]+)\])(?::([0-9]{1,5}))?")
PREFIX = re.compile(r"(?:/[A-Za-z0-9_~+-][A-Za-z0-9._~+-]*)+")


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
    its_scheme, _, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    base, below = origin(its_scheme.lower(), host), prefix(slash + path)
    if base is None or below is None:
        raise ConfigurationError(
            "PUBLIC_URL must be the address of the home page, such as https://pypi.example.com or "
            "https://example.com/pypi: http or https, a host, and a path if need be."
        )
    if below.rpartition("/")[2] == "simple":
        raise ConfigurationError("PUBLIC_URL is the address of the home page, not of the index: leave /simple off.")
    return base + below


def scheme(text: str) -> str | None:
    """A scheme in lower case, None if it is none of ours."""
    return text.lower() if text.lower() in SCHEMES else None


def authority(text: str) -> str | None:
    """RFC 3986, 3.2.2, without a user: a name, or an address, and a port."""
    if not (found := AUTHORITY.fullmatch(text.lower())) or int(found[2] or 0) > 65535:
        return None
    if found[1]:
        try:
            IPv6Address(found[1])
        except ValueError:
            return None
    return found[0]


def prefix(text: str) -> str | None:
    """A path without a slash at its end, None if it can be none before our addresses."""
    path = text.rstrip("/")
    return path if not path or PREFIX.fullmatch(path) else None


def origin(scheme: str, host: str) -> str | None:
    """Scheme, host and port as browsers write them (RFC 6454), None if they cannot be."""
    found = authority(host)
    return f"{scheme}://{found.removesuffix(SCHEMES[scheme])}" if scheme in SCHEMES and found else None
