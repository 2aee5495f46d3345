"""The proxy of the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as pip and uv obey them."""

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from elasticpypi.core.errors import ConfigurationError


class Proxy(NamedTuple):
    """Its address without credentials, and these as user:password, "" if it needs none."""

    address: str
    credentials: str


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy by which an address is asked, None if that is done directly; :class:`ConfigurationError`.

    Of two spellings of a variable the one in lower case counts, as everywhere.
    """
    parts = urlsplit(url)
    said = _said(f"{parts.scheme}_proxy", environ) or _said("all_proxy", environ)
    if not said or _is_direct(parts.hostname or "", parts.port, _said("no_proxy", environ)):
        return None
    try:
        proxy = urlsplit(said if "://" in said else f"http://{said}")
        user, _, host = proxy.netloc.rpartition("@")
        if proxy.scheme not in ("http", "https") or not proxy.hostname or (proxy.port or 1) < 1:
            raise ValueError
    except ValueError:
        raise ConfigurationError(
            f"The proxy that {parts.scheme.upper()}_PROXY or ALL_PROXY names is none that can be used: give it as "
            "http://host:port."
        ) from None
    return Proxy(f"{proxy.scheme}://{host}", unquote(user))


def _said(name: str, environ: Mapping[str, str]) -> str:
    return environ.get(name, environ.get(name.upper(), "")).strip()


def _is_direct(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether NO_PROXY names a host: itself, a domain of it, with a port or not; a network of its address; or all."""
    for name in filter(None, (each.strip().lower().lstrip(".") for each in no_proxy.split(","))):
        if name == "*" or name in (host, f"{host}:{port}", f"[{host}]") or host.endswith(f".{name}"):
            return True
        with suppress(ValueError):  # it is no network, or the host no address
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
    return False
