"""The policy of an index: one TOML document → frozen dataclasses, or one exact error.

Everything here is pure. A document is taken as a whole or not at all; a key that nobody knows is an error, since it may
be one that was meant to protect somebody.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from packaging.utils import NormalizedName

from elasticpypi.core import addresses
from elasticpypi.core.errors import BadPolicy, BadUpload
from elasticpypi.core.filename import project_name

LARGEST = 32 * 1024  # bytes of a document
DAY = 24 * 3600
UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY, "w": 7 * DAY}
SIZES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
LONGEST_AGE = 3650 * DAY
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
PIP = "pip"  # in the place of an address: the index that pip is configured for

Mode = Literal["", "cache", "redirect", "cache+redirect"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where names may come from. Each is a normalized name; in ``denied`` and ``allowed`` it may end in ``-*``.

    ``private`` are names that are ours, themselves and with everything that begins with them and "-" (PEP 752).
    ``allowed`` is everything if it is empty.
    """

    private: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cooldown:
    """How old a file from upstream has to be, in seconds; ``project`` has the age of some of them."""

    age: int = 3 * DAY
    security_age: int = DAY
    where: Literal["everywhere", "index"] = "everywhere"
    no_time: Literal["hide", "first_seen", "allow"] = "hide"
    cutoff: datetime | None = None
    project: Mapping[NormalizedName, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Upstream:
    """An index that is asked for what is not ours; ``mode`` "" is what fits the host.

    ``url`` is an address or ``pip``; ``fresh`` and ``stale`` are seconds, ``room`` bytes; ``credentials`` is the
    name of an environment variable; ``files`` are hosts, and any if there are none.
    """

    name: str
    url: str
    mode: Mode = ""
    files: tuple[str, ...] = ()
    fresh: int = 600
    stale: int = DAY
    offline: bool = False
    insecure: bool = False
    credentials: str = ""
    room: int = 50 * 10**9


@dataclass(frozen=True, slots=True)
class Policy:
    """What a document says. ``upstreams`` are asked in this order."""

    origin: Origin = Origin()
    cooldown: Cooldown = Cooldown()
    upstreams: tuple[Upstream, ...] = ()


class _Wrong(Exception):
    """A value that cannot be; ``path`` are the keys that lead to it, from the innermost one."""

    def __init__(self, text: str, *path: str) -> None:
        super().__init__(text)
        self.path = list(path)


_Check = Callable[[Any], Any]


def parse(document: bytes | str) -> Policy:
    """A document → the policy; :class:`BadPolicy` names the first line and key that is wrong."""
    text = _text(document)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", place)
        where = f"line {line[1]}" if line else f"line {max(1, len(text.splitlines()))}"
        raise BadPolicy(f"policy.toml, {where}: this is not TOML: {what}.") from None
    except RecursionError:
        raise BadPolicy("policy.toml: this is nested too deeply.") from None
    try:
        found = _table(tables, {"origin": _origin, "cooldown": _cooldown, "upstream": _upstreams})
    except _Wrong as error:
        path = error.path[::-1]
        raise BadPolicy(f"policy.toml, line {_line(text, path)}, {'.'.join(path)}: {error}") from None
    if upstreams := found.pop("upstream", None):
        found["upstreams"] = upstreams
    return Policy(**found)


def _text(document: bytes | str) -> str:
    size = len(document) if isinstance(document, bytes) else len(document.encode("utf-8", "replace"))
    if size > LARGEST:
        raise BadPolicy(f"policy.toml has {size} bytes: {LARGEST} are the most.")
    if isinstance(document, str):
        return document
    try:
        return document.decode()
    except UnicodeDecodeError as error:
        line = document[: error.start].count(b"\n") + 1
        raise BadPolicy(f"policy.toml, line {line}: this is not UTF-8.") from None


def _line(text: str, path: list[str]) -> int:
    """The line on which a key is; of a value on several lines, the first."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if path[-1] in line and _has(lines[: number - 1], path) is False:
            found = (_has(lines[:end], path) for end in range(number, len(lines) + 1))
            if next(filter(lambda known: known is not None, found), False):
                return number
    return 1


def _has(lines: list[str], path: list[str]) -> bool | None:
    """Whether a key is in the first lines of a document; None if they end in the middle of a value."""
    try:
        found: Any = tomllib.loads("".join(lines))
    except tomllib.TOMLDecodeError:
        return None
    for key in path:
        if not isinstance(found, dict) or key not in found:
            return False
        found = found[key]
    return True


def _table(value: Any, checks: Mapping[str, _Check]) -> dict[str, Any]:
    """A table with these keys at most → what their checks make of the values."""
    if not isinstance(value, dict):
        raise _Wrong("this is a table.")
    for key in value:
        if key not in checks:
            raise _Wrong(f"there is no such key, but {', '.join(checks)}.", key)
    return {key: _under(key, checks[key], each) for key, each in value.items()}


def _under(key: str, check: _Check, value: Any) -> Any:
    try:
        return check(value)
    except _Wrong as error:
        error.path.append(key)
        raise


def _origin(value: Any) -> Origin:
    checks: dict[str, _Check] = {"private": _list(_name), "denied": _list(_pattern), "allowed": _list(_pattern)}
    return Origin(**_table(value, checks))


def _cooldown(value: Any) -> Cooldown:
    checks: dict[str, _Check] = {
        "age": _seconds,
        "security_age": _seconds,
        "where": _choice("everywhere", "index"),
        "no_time": _choice("hide", "first_seen", "allow"),
        "cutoff": _moment,
        "project": _ages,
    }
    return Cooldown(**_table(value, checks))


def _ages(value: Any) -> dict[NormalizedName, int]:
    if not isinstance(value, dict):
        raise _Wrong("this is a table.")
    ages: dict[NormalizedName, int] = {}
    for key, each in value.items():
        name = _under(key, _name, key)
        if name in ages:
            raise _Wrong(f"{name!r} is there already, in another spelling.", key)
        ages[name] = _under(key, _seconds, each)
    return ages


def _upstreams(value: Any) -> tuple[Upstream, ...]:
    if not isinstance(value, dict):
        raise _Wrong('this is a table for each: write [upstream.main] and url = "pip".')
    return tuple(_under(name, partial(_upstream, name), each) for name, each in value.items())


def _upstream(name: str, value: Any) -> Upstream:
    if not NAME.fullmatch(name):
        raise _Wrong("the name of an upstream has lower-case letters, digits and '-', 40 at most.")
    checks: dict[str, _Check] = {
        "url": _url,
        "mode": _choice("cache", "redirect", "cache+redirect"),
        "files": _list(_host),
        "fresh": _seconds,
        "stale": _seconds,
        "offline": _boolean,
        "insecure": _boolean,
        "credentials": _variable,
        "room": _bytes,
    }
    found = _table(value, checks)
    if "url" not in found:
        raise _Wrong('url is missing: give the address of its simple index, or "pip" for the one that pip uses.')
    return Upstream(name, **found)


def _list(check: _Check) -> _Check:
    def each(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _Wrong("this is a list, such as [] or ['one', 'two'].")
        return tuple(dict.fromkeys(map(check, value)))

    return each


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"this is a text in quotes, not {_shown(value)}.")
    return value


def _name(value: Any) -> NormalizedName:
    try:
        return project_name(_string(value))
    except BadUpload:
        raise _Wrong(f"{value[:80]!r} is not the name of a project.") from None


def _pattern(value: Any) -> str:
    """A name, or one with ``-*`` behind it."""
    begin, star, rest = _string(value).partition("-*")
    if star and rest:
        raise _Wrong(f"{value[:80]!r}: '-*' is possible at the end only.")
    return f"{_name(begin)}{star}"


def _seconds(value: Any) -> int:
    """``3d``, ``12h``; ``0``."""
    found = re.fullmatch(r"(\d{1,9})([smhdw]?)", value.strip()) if isinstance(value, str) else None
    if not found or not (found[2] or int(found[1]) == 0):
        raise _Wrong(f'{_shown(value)} is no time: write a number and s, m, h, d or w, such as "3d", or "0".')
    seconds = int(found[1]) * UNITS.get(found[2], 1)
    if seconds > LONGEST_AGE:
        raise _Wrong(f"{_shown(value)} is more than ten years.")
    return seconds


def _bytes(value: Any) -> int:
    found = re.fullmatch(r"(\d{1,6}) ?(MB|GB|TB)", value.strip()) if isinstance(value, str) else None
    if not found:
        raise _Wrong(f'{_shown(value)} is no size: write a number and MB, GB or TB, such as "50GB".')
    return int(found[1]) * SIZES[found[2]]


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"this is true or false, not {_shown(value)}.")
    return value


def _choice(*choices: str) -> _Check:
    def one(value: Any) -> str:
        if value not in choices:
            raise _Wrong(f"this is {_either(choices)}, not {_shown(value)}.")
        return str(value)

    return one


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _Wrong("this is a moment with its zone and without quotes, such as 2026-11-20T00:00:00Z.")
    return value.astimezone(UTC)


def _variable(value: Any) -> str:
    if value and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", _string(value)):
        raise _Wrong("this is the name of an environment variable that holds user:password, not these themselves.")
    return _string(value)


def _host(value: Any) -> str:
    found = addresses.authority(_string(value))
    if found is None:
        raise _Wrong(f"{value[:80]!r} is not the name of a host.")
    return found


def _url(value: Any) -> str:
    if _string(value) == PIP:
        return PIP
    scheme, _, rest = value.partition("://")
    host, slash, path = rest.partition("/")
    if "@" in host:  # neither is repeated: an error is shown, and kept in logs
        raise _Wrong("an address has no password here: name an environment variable with it in credentials.")
    plain = value.isascii() and value.isprintable() and not re.search(r"[\s?#\"<>\\]", value)
    if not plain or addresses.scheme(scheme) is None or addresses.authority(host) is None:
        raise _Wrong('this is the address of a simple index, such as https://example.com/simple/, or "pip".')
    return f"{scheme.lower()}://{host.lower()}{slash}{path}".rstrip("/") + "/"


def _shown(value: Any) -> str:
    return repr(value)[:80]


def _either(choices: Iterable[str]) -> str:
    *some, last = (f'"{choice}"' for choice in choices)
    return f"{', '.join(some)} or {last}"
