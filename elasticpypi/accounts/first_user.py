"""One machine without any user set: the one that the first start makes, and how to use the index as that user."""

import os
import secrets
import string
from pathlib import Path
from urllib.parse import quote

from elasticpypi.config import SAMPLE_PASSWORD, Config, can_be_sent
from elasticpypi.core.errors import ConfigurationError

FIRST_USER = "elasticpypi"
# A slow hash makes a guess expensive. Of 24 random characters (142 bits) nobody guesses one, and each worker has
# to check it before its first answer: 4 ms instead of 140.
RANDOM_LENGTH, HASH_OF_RANDOM = 24, "scrypt:1024:8:1"


def address(config: Config, host: str, port: int) -> str:
    """The home page for people on this machine, without a slash at its end."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "*") else f"[{host}]" if ":" in host else host
    return f"{'https' if config.tls_cert else 'http'}://{shown}:{port}"


def logged_in(config: Config, url: str) -> tuple[Config, str]:
    """The settings with the user of this machine, if they name none, and what to tell at a start: who can log in.

    Makes that user if nobody could log in.
    """
    if config.users:
        return config, f"Users: {', '.join(sorted(config.users))} (from the environment)."
    path = password_file(config.data)
    if not path.exists():
        config.with_users(f"{FIRST_USER}:none yet")  # settings that speak of users fit this one, or stop the start here
        line, text = set_password(config.data, url)
        return config.with_users(line), text
    try:
        line = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The file {str(path)!r} cannot be read: {error}.") from None
    if not line:
        raise ConfigurationError(f"The file {str(path)!r} has no user: elasticpypi password --data {config.data}")
    name = line.partition(":")[0]
    text = f"The user is {name!r}. For a new password: elasticpypi password --data {config.data}"
    return config.with_users(line), text


def password_file(data: Path) -> Path:
    """Where the hash of the first user's password is."""
    return data / "user"


def set_password(data: Path, url: str, password: str = "") -> tuple[str, str]:
    """Store the hash of a password ("": a random one) for the first user.

    The user as USERS would have it, and how to use the index, to be shown once.
    """
    from werkzeug.security import generate_password_hash

    if password == SAMPLE_PASSWORD:
        raise ConfigurationError("This is the sample password that everybody can read: choose another.")
    if not can_be_sent(password):
        raise ConfigurationError("pip and twine cannot send these characters: choose letters of ASCII.")
    alphabet = string.ascii_letters + string.digits  # survives URLs, netrc, ini files and shells (REQ-87)
    if password:
        hashed = generate_password_hash(password)
    else:
        password = "".join(secrets.choice(alphabet) for _ in range(RANDOM_LENGTH))
        hashed = generate_password_hash(password, HASH_OF_RANDOM)
    line = f"{FIRST_USER}:{hashed}"
    data.mkdir(0o700, parents=True, exist_ok=True)
    path = password_file(data)
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{line}\n")
    new.replace(path)
    return line, how_to_use(url, FIRST_USER, password)


def how_to_use(url: str, user: str, password: str) -> str:
    """Lines to paste; ``url`` is that of the home page, without a slash at its end."""
    scheme, _, rest = url.partition("://")
    index = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}/simple/"
    return f"""\
User {user}, password {password}  (shown only now)

Index URL   {index}
pip         pip install --index-url {index} PROJECT
uv          uv pip install --index-url {index} PROJECT
twine       twine upload --repository-url {url}/legacy/ -u {user} -p {password} dist/*

~/.pypirc, for twine upload -r {FIRST_USER} dist/*
    [distutils]
    index-servers = {FIRST_USER}
    [{FIRST_USER}]
    repository = {url}/legacy/
    username = {user}
    password = {password}

~/.config/pip/pip.conf
    [global]
    index-url = {index}
"""
