"""Environment variables → settings, or one sentence."""

from pathlib import Path

import pytest

from elasticpypi.config import SETTINGS, Config
from elasticpypi.core.errors import ConfigurationError


def test_nothing_set_is_one_machine_without_users() -> None:
    config = Config.from_env({})
    assert not config.on_aws
    assert config.users == {}
    assert (config.data, config.listen, config.port, config.overwrite) == (Path("data"), "127.0.0.1", 8080, False)


def test_every_setting_arrives() -> None:
    config = Config.from_env(
        {
            "SERVICE": "s",
            "STAGE": "/dev",
            "BUCKET": "b",
            "RECORDS_BUCKET": "r",
            "TABLE": "t",
            "USERNAME": "u",
            "PASSWORD": "p:w",
            "ADMINS": "u, ",
            "OVERWRITE": "True",
            "STRICT_NAMES": "1",
            "DATA": "/x",
            "LISTEN": "[::1]",
            "PORT": "0",
            "WORKERS": "3",
            "TLS_CERT": "/c.pem",
            "TLS_KEY": "/k.pem",
            "PROXIES": "192.0.2.1, 10.0.0.0/8",
            "PUBLIC_URL": "https://h.example/x/",
            "MAX_UPLOAD": "10",
            "LINK_SECONDS": "60",
        }
    )
    assert config == Config(
        service="s",
        stage="dev",
        bucket="b",
        records_bucket="r",
        table="t",
        users={"u": "p:w"},
        admins=frozenset("u"),
        overwrite=True,
        strict_names=True,
        data=Path("/x"),
        listen="::1",
        port=0,
        workers=3,
        tls_cert=Path("/c.pem"),
        tls_key=Path("/k.pem"),
        proxies=("192.0.2.1/32", "10.0.0.0/8"),
        public_url="https://h.example/x",
        max_upload=10 * 1024 * 1024,
        link_seconds=60,
    )
    assert config.on_aws


def test_every_setting_of_the_table_is_a_field_or_a_user() -> None:
    fields = set(Config.__dataclass_fields__)
    assert {setting.name.lower() for setting in SETTINGS} - {"username", "password"} == fields


def test_users_replace_the_one_user() -> None:
    environ = {"USERS": " a:1:2 , b:scrypt:32768:8:1$x$0f", "USERNAME": "c", "PASSWORD": "d"}
    assert Config.from_env(environ).users == {"a": "1:2", "b": "scrypt:32768:8:1$x$0f"}


def test_a_user_name_alone_is_no_configuration() -> None:
    assert Config.from_env({"USERNAME": "desktop"}).users == {}


def test_no_password_is_shown() -> None:
    assert "hunter2" not in repr(Config.from_env({"USERS": "a:hunter2"}))
    front = {"CLOUDFRONT_HOST": "d1", "CLOUDFRONT_KEY_ID": "K1", "CLOUDFRONT_KEY": "hunter2"}
    assert "hunter2" not in repr(Config.from_env(front))


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"BUCKET": "b"}, "BUCKET is set but TABLE is not: set both for AWS, or none for one machine."),
        ({"TABLE": "t"}, "TABLE is set but BUCKET is not: set both for AWS, or none for one machine."),
        (
            {"CLOUDFRONT_HOST": "d1.cloudfront.net", "CLOUDFRONT_KEY_ID": "K1"},
            "CLOUDFRONT_KEY is not set: set all of CLOUDFRONT_HOST, CLOUDFRONT_KEY_ID, CLOUDFRONT_KEY, or none.",
        ),
        ({"TLS_CERT": "c"}, "TLS_CERT is set but TLS_KEY is not: set both for https, or none for http."),
        ({"TLS_KEY": "k"}, "TLS_KEY is set but TLS_CERT is not: set both for https, or none for http."),
        ({"OVERWRITE": "maybe"}, "OVERWRITE must be true or false, not 'maybe'."),
        ({"PORT": "http"}, "PORT must be a whole number from 0 to 65535, not 'http'."),
        ({"PORT": "65536"}, "PORT must be a whole number from 0 to 65535, not '65536'."),
        ({"PORT": "\u0668"}, "PORT must be a whole number from 0 to 65535, not '\u0668'."),
        ({"WORKERS": "0"}, "WORKERS must be a whole number from 1 to 64, not '0'."),
        ({"PASSWORD": "x"}, "PASSWORD is set: set USERNAME too, to a name without a colon."),
        ({"USERNAME": "a:b", "PASSWORD": "x"}, "PASSWORD is set: set USERNAME too, to a name without a colon."),
        ({"USERNAME": "a", "PASSWORD": ""}, "PASSWORD is empty: choose one."),
        (
            {"USERNAME": "a", "PASSWORD": "scrypt:32768:8:1"},  # what a shell leaves of scrypt:32768:8:1$salt$hash
            "PASSWORD begins like a Werkzeug hash but is none: "
            "in a shell or a compose file, does it need single quotes?",
        ),
        ({"USERNAME": "a", "PASSWORD": "p\udcff"}, "PASSWORD has characters that are not text: choose another."),
        (
            {"USERNAME": "a", "PASSWORD": "something-secretive"},
            "PASSWORD is the sample password that everybody can read: choose another.",
        ),
        ({"USERS": "a:1,b"}, "USERS: entry 2 must have the form user:password."),
        ({"USERS": "a:1", "ADMINS": "a,b"}, "ADMINS: 'b' is no user: add it to USERS."),
        ({"USERS": ":1"}, "USERS: entry 1 must have the form user:password."),
        ({"USERS": "a:1,a:2"}, "USERS: the user 'a' is there twice."),
        ({"USERS": "a:"}, "USERS: the password of 'a' is empty: choose one."),
        (
            {"USERS": "a:something-secretive"},
            "USERS: the password of 'a' is the sample password that everybody can read: choose another.",
        ),
    ],
)
def test_what_cannot_be_read_stops_the_start(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Config.from_env(environ)
    assert str(refused.value) == sentence
