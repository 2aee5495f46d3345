"""All settings: one table, one frozen dataclass, read once from environment variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from elasticpypi.core.errors import ConfigurationError

SAMPLE_PASSWORD = "something-secretive"  # published in the README of the earlier elasticpypi
MEGABYTE = 1024 * 1024
LOOPBACK = "127.0.0.0/8", "::1/128"
HASH = re.compile(r"(scrypt:\d+:\d+:\d+|pbkdf2:\w+(:\d+)?)\$[^$]+\$[0-9a-f]+")  # Werkzeug's password hashes


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table: the environment variable, its default as text ("" = none), what it does."""

    name: str
    default: str
    help: str


SETTINGS = (
    Setting("SERVICE", "elasticpypi", "Name of this index, shown on its pages and by /health."),
    Setting("STAGE", "", "Stage of the deployment, such as dev, shown by /health."),
    Setting("BUCKET", "", "S3 bucket of the packages. Together with TABLE it chooses AWS."),
    Setting("RECORDS_BUCKET", "", "S3 bucket of events and decisions; <BUCKET>-records if it is not set."),
    Setting("TABLE", "", "DynamoDB table of the index. Together with BUCKET it chooses AWS."),
    Setting("USERNAME", "", "The one user, together with PASSWORD; alone it means nothing."),
    Setting("PASSWORD", "", "Password of USERNAME: plain, or a Werkzeug hash (scrypt: or pbkdf2:)."),
    Setting("USERS", "", "Several users, user:password,user2:password2; replaces USERNAME and PASSWORD."),
    Setting("ADMINS", "", "Users who may yank and delete, separated by commas; everybody if it is not set."),
    Setting("OVERWRITE", "false", "true: an upload may replace a file of the same name with other bytes."),
    Setting("STRICT_NAMES", "false", "true: an upload must spell its file name as today's standards do."),
    Setting("DATA", "data", "Folder of the packages and the index on one machine."),
    Setting("LISTEN", "127.0.0.1", "Address that `elasticpypi serve` listens on; * for all."),
    Setting("PORT", "8080", "Port that `elasticpypi serve` listens on."),
    Setting("WORKERS", "2", "Worker processes of `elasticpypi serve`."),
    Setting("UPSTREAM", "", "Another index for what is not here: its address, or `pip` for the one that pip uses."),
    Setting("DOWNLOADS", "upstream", "Of which files it is recorded who fetches them: `upstream`, `all` or `none`."),
    Setting("FOLLOW", "listing", "With BUCKET: `listing` looks at it every minute, `events` leaves that to the stack."),
    Setting("TLS_CERT", "", "Certificate and its chain in PEM, for https without a proxy; needs TLS_KEY."),
    Setting("TLS_KEY", "", "The private key to it, in PEM."),
    Setting("PROXIES", "127.0.0.0/8, ::1", "Proxies whose X-Forwarded-* is believed: addresses, networks, or none."),
    Setting("PUBLIC_URL", "", "Address of the home page for everybody, such as https://example.com/pypi."),
    Setting("MAX_UPLOAD", "5120", "Largest upload in MB; on Lambda the gateway ends it at about 4.5 MB."),
    Setting("LINK_SECONDS", "3600", "On AWS: seconds for which the link of a large file stays the same."),
    Setting("CLOUDFRONT_HOST", "", "Host of a CloudFront distribution of BUCKET, for links to large files."),
    Setting("CLOUDFRONT_KEY_ID", "", "Id of the public key that it trusts."),
    Setting("CLOUDFRONT_KEY", "", "The private key to it, RSA in PEM."),
)


@dataclass(frozen=True, slots=True)
class Config:
    """The settings, checked. ``users`` maps names to passwords or hashes; sizes are bytes, times seconds.

    ``proxies`` are networks, ``public_url`` has no slash at its end (:mod:`elasticpypi.core.addresses`).
    """

    service: str = "elasticpypi"
    stage: str = ""
    bucket: str = ""
    table: str = ""
    records_bucket: str = ""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    admins: frozenset[str] = frozenset()
    overwrite: bool = False
    strict_names: bool = False
    data: Path = Path("data")
    listen: str = "127.0.0.1"
    port: int = 8080
    workers: int = 2
    upstream: str = field(default="", repr=False)
    downloads: str = "upstream"
    follow: str = "listing"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    proxies: tuple[str, ...] = LOOPBACK
    public_url: str = ""
    max_upload: int = 5120 * MEGABYTE
    link_seconds: int = 3600
    cloudfront_host: str = ""
    cloudfront_key_id: str = ""
    cloudfront_key: str = field(default="", repr=False)

    @property
    def on_aws(self) -> bool:
        """Whether packages and index are on AWS, wherever the application itself runs."""
        return bool(self.bucket)

    @property
    def records(self) -> str:
        """The bucket of events and decisions, "" on one machine."""
        return self.records_bucket or (f"{self.bucket}-records" if self.bucket else "")

    def with_users(self, text: str) -> "Config":
        """The same with the users of a text in the form of USERS; :class:`ConfigurationError` if ADMINS has others."""
        users = _users({"USERS": text})
        return replace(self, users=users, admins=_known(self.admins, users))

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Config":
        """Environment variables → settings; :class:`ConfigurationError` names the first that is wrong."""
        text = {setting.name: environ.get(setting.name, "").strip() or setting.default for setting in SETTINGS}
        if bool(text["BUCKET"]) != bool(text["TABLE"]):
            given, missing = ("BUCKET", "TABLE") if text["BUCKET"] else ("TABLE", "BUCKET")
            raise ConfigurationError(f"{given} is set but {missing} is not: set both for AWS, or none for one machine.")
        if text["BUCKET"] and text["RECORDS_BUCKET"] == text["BUCKET"]:
            raise ConfigurationError("RECORDS_BUCKET is BUCKET: set it to a bucket of its own, or not at all.")
        front = [name for name in text if name.startswith("CLOUDFRONT_")]
        unset = [name for name in front if not text[name]]
        if unset and unset != front:
            raise ConfigurationError(f"{unset[0]} is not set: set all of {', '.join(front)}, or none.")
        if bool(text["TLS_CERT"]) != bool(text["TLS_KEY"]):
            given, missing = ("TLS_CERT", "TLS_KEY") if text["TLS_CERT"] else ("TLS_KEY", "TLS_CERT")
            raise ConfigurationError(f"{given} is set but {missing} is not: set both for https, or none for http.")
        users = _users(environ)
        return cls(
            service=text["SERVICE"],
            stage=text["STAGE"].strip("/"),
            bucket=text["BUCKET"],
            table=text["TABLE"],
            records_bucket=text["RECORDS_BUCKET"],
            users=users,
            admins=_admins(text["ADMINS"], users),
            overwrite=_boolean("OVERWRITE", text["OVERWRITE"]),
            strict_names=_boolean("STRICT_NAMES", text["STRICT_NAMES"]),
            data=Path(text["DATA"]).expanduser(),
            listen=text["LISTEN"].removeprefix("[").removesuffix("]"),
            port=_number("PORT", text["PORT"], 0, 65535),
            workers=_number("WORKERS", text["WORKERS"], 1, 64),
            upstream=_upstream(text["UPSTREAM"]),
            downloads=_choice("DOWNLOADS", text["DOWNLOADS"], "upstream", "all", "none"),
            follow=_choice("FOLLOW", text["FOLLOW"], "listing", "events"),
            max_upload=_number("MAX_UPLOAD", text["MAX_UPLOAD"], 1, 5 * 1024 * 1024) * MEGABYTE,
            tls_cert=Path(text["TLS_CERT"]).expanduser() if text["TLS_CERT"] else None,
            tls_key=Path(text["TLS_KEY"]).expanduser() if text["TLS_KEY"] else None,
            proxies=_proxies(environ),
            public_url=_public_url(text["PUBLIC_URL"]),
            # A link lives twice this long, and S3 accepts no more than seven days (AWS: query-string auth).
            link_seconds=_number("LINK_SECONDS", text["LINK_SECONDS"], 60, 302400),
            cloudfront_host=text["CLOUDFRONT_HOST"],
            cloudfront_key_id=text["CLOUDFRONT_KEY_ID"],
            cloudfront_key=text["CLOUDFRONT_KEY"],
        )


def _boolean(name: str, text: str) -> bool:
    match text.lower():
        case "true" | "yes" | "on" | "1":
            return True
        case "false" | "no" | "off" | "0":
            return False
    raise ConfigurationError(f"{name} must be true or false, not {text!r}.")


def _choice(name: str, text: str, *choices: str) -> str:
    if text not in choices:
        raise ConfigurationError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, not {text!r}.")
    return text


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ConfigurationError(f"{name} must be a whole number from {least} to {most}, not {text!r}.")
    return int(text)


def _proxies(environ: Mapping[str, str]) -> tuple[str, ...]:
    if not (text := environ.get("PROXIES", "").strip()):
        return LOOPBACK
    from elasticpypi.core.addresses import networks  # which no cold start waits for

    return networks(text)


def _public_url(text: str) -> str:
    if not text:
        return ""
    from elasticpypi.core.addresses import public_url

    return public_url(text)


def _upstream(text: str) -> str:
    """``pip``, or the address of a simple index, which may have a user and a password in it."""
    if text in ("", "pip"):
        return text
    from urllib.parse import urlsplit

    from elasticpypi.core.addresses import authority, scheme

    try:
        parts = urlsplit(text)
        right = (
            scheme(parts.scheme) and authority(parts.netloc.rpartition("@")[2]) and not (parts.query or parts.fragment)
        )
    except ValueError:
        right = None
    if not right or not text.isprintable() or " " in text:
        raise ConfigurationError("UPSTREAM must be the address of a simple index, or pip for the one that pip uses.")
    return text


def _admins(text: str, users: Mapping[str, str]) -> frozenset[str]:
    admins = frozenset(name.strip() for name in text.split(",") if name.strip())
    return _known(admins, users) if users else admins


def _known(admins: frozenset[str], users: Mapping[str, str]) -> frozenset[str]:
    for unknown in sorted(admins - set(users)):
        raise ConfigurationError(f"ADMINS: {unknown!r} is no user: add it to USERS.")
    return admins


def _users(environ: Mapping[str, str]) -> dict[str, str]:
    """The users of USERS, else of USERNAME and PASSWORD, else none. No message shows a password."""
    if everyone := environ.get("USERS", "").strip():
        users: dict[str, str] = {}
        for number, entry in enumerate(everyone.split(","), 1):
            name, colon, password = entry.strip().partition(":")
            if not (name and colon):
                raise ConfigurationError(f"USERS: entry {number} must have the form user:password.")
            if name in users:
                raise ConfigurationError(f"USERS: the user {name!r} is there twice.")
            users[name] = _password(f"USERS: the password of {name!r}", password)
        return users
    if "PASSWORD" not in environ:
        return {}  # USERNAME alone, as many desktops set it, is not a configuration
    name = environ.get("USERNAME", "").strip()
    if not name or ":" in name:
        raise ConfigurationError("PASSWORD is set: set USERNAME too, to a name without a colon.")
    return {name: _password("PASSWORD", environ["PASSWORD"])}


def _password(what: str, password: str) -> str:
    if not password:
        raise ConfigurationError(f"{what} is empty: choose one.")
    if password == SAMPLE_PASSWORD:
        raise ConfigurationError(f"{what} is the sample password that everybody can read: choose another.")
    if password.startswith(("scrypt:", "pbkdf2:")) and not HASH.fullmatch(password):
        raise ConfigurationError(
            f"{what} begins like a Werkzeug hash but is none: in a shell or a compose file, does it need single quotes?"
        )
    if not password.isprintable():
        raise ConfigurationError(f"{what} has characters that are not text: choose another.")
    if not can_be_sent(password):
        raise ConfigurationError(f"{what} has characters that pip and twine cannot send: choose letters of ASCII.")
    return password


def can_be_sent(password: str) -> bool:
    """Whether the HTTP client of pip and twine can send a password: it knows Latin-1 only."""
    try:
        password.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
