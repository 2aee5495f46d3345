"""The policy document: what it says, and what is said of one that is wrong."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elasticpypi.core.errors import BadPolicy
from elasticpypi.policy import LARGEST, Cooldown, Origin, Policy, Upstream, parse

CUTOFF = datetime(2026, 11, 20, tzinfo=UTC)
WHOLE = """
# what we decided
[upstream.main]
url = "pip"
[upstream.other]
url = "HTTPS://Mirror.example.com:8443/pypi/simple"
mode = "cache+redirect"
files = ["Files.example.com"]
fresh = "10m"
stale = "2w"
offline = true
insecure = false
credentials = "MIRROR_LOGIN"
room = "50GB"

[origin]
private = ["Acme", "internal_tools", "acme"]
denied = ["leftpad", "evil-*"]
allowed = []

[cooldown]
age = "3d"
security_age = "36h"
where = "index"
no_time = "first_seen"
cutoff = 2026-11-20T01:00:00+01:00
[cooldown.project]
NumPy = "0d"
"zope.interface" = "0"
"""


def test_a_whole_document() -> None:
    found = parse(WHOLE)
    other = Upstream(
        "other",
        "https://mirror.example.com:8443/pypi/simple/",
        "cache+redirect",
        ("files.example.com",),
        600,
        14 * 86400,
        offline=True,
        credentials="MIRROR_LOGIN",
        room=50_000_000_000,
    )
    assert found == Policy(
        Origin(("acme", "internal-tools"), ("leftpad", "evil-*")),
        Cooldown(
            3 * 86400,
            36 * 3600,
            "index",
            "first_seen",
            datetime(2026, 11, 20, tzinfo=UTC),
            {"numpy": 0, "zope-interface": 0},
        ),
        (Upstream("main", "pip"), other),
    )


@pytest.mark.parametrize("document", ["", "# nothing\n", b"", "[origin]\n[cooldown]\n"])
def test_what_is_not_said_has_a_default(document: str | bytes) -> None:
    found = parse(document)
    assert found == Policy()
    assert (found.cooldown.age, found.cooldown.no_time, found.upstreams) == (3 * 86400, "hide", ())


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("[origin\n", "policy.toml, line 1: this is not TOML: "),
        ("a = 1\n\n[x", "policy.toml, line 3: this is not TOML: "),
        ("\n[origins]\n", "line 2, origins: there is no such key, but origin, cooldown, upstream."),
        ("[origin]\nprivte = []", "line 2, origin.privte: there is no such key, but private, denied, allowed."),
        ("origin = 3", "line 1, origin: this is a table."),
        ("[origin]\n\nprivate = 'acme'", "line 3, origin.private: this is a list"),
        ("[origin]\nprivate = [\n 'a',\n 'b c',\n]\n", "line 2, origin.private: 'b c' is not the name of a project."),
        ("[origin]\nprivate = [1]", "line 2, origin.private: this is a text in quotes, not 1."),
        ("[origin]\ndenied = ['a-*b']", "line 2, origin.denied: 'a-*b': '-*' is possible at the end only."),
        ("[cooldown]\nage = 3", "line 2, cooldown.age: 3 is no time: write a number and s, m, h, d or w"),
        ("[cooldown]\nage = '3'", "line 2, cooldown.age: '3' is no time"),
        ("[cooldown]\nage = '-3d'", "line 2, cooldown.age: '-3d' is no time"),
        ("[cooldown]\nage = '900w'", "line 2, cooldown.age: '900w' is more than ten years."),
        ("[cooldown]\nwhere = 'page'", 'line 2, cooldown.where: this is "everywhere" or "index", not \'page\'.'),
        ("[cooldown]\nno_time = []", 'line 2, cooldown.no_time: this is "hide", "first_seen" or "allow", not [].'),
        ("[cooldown]\ncutoff = 2026-11-20", "line 2, cooldown.cutoff: this is a moment with its zone"),
        ("[cooldown]\ncutoff = '2026-11-20T00:00:00Z'", "line 2, cooldown.cutoff: this is a moment"),
        ("[cooldown.project]\nA-B = '1d'\na_b = '2d'", "line 3, cooldown.project.a_b: 'a-b' is there already"),
        ("[cooldown.project]\n'a b' = '1d'", "line 2, cooldown.project.a b: 'a b' is not the name"),
        ("[cooldown.project]\na = true", "line 2, cooldown.project.a: True is no time"),
        ("[upstream]\nurl = 'pip'", "line 2, upstream.url: this is a table."),
        ("upstream = 'pip'", "line 1, upstream: this is a table for each"),
        ("[upstream.main]\nmode = 'cache'\n", "line 1, upstream.main: url is missing"),
        ("[upstream.Main]\nurl = 'pip'\n", "line 1, upstream.Main: the name of an upstream has lower-case"),
        ("[upstream.main]\nurl = 'ftp://x/'", "line 2, upstream.main.url: this is the address of a simple index"),
        ("[upstream.main]\nurl = 'https://x/?a'", "line 2, upstream.main.url: this is the address"),
        ("[upstream.main]\nurl = 'https://u:secret@x/'", "line 2, upstream.main.url: an address has no password here"),
        ("[upstream.main]\nurl = 'pip'\noffline = 'no'", "line 3, upstream.main.offline: this is true or false"),
        ("[upstream.main]\nurl = 'pip'\nroom = '5'", "line 3, upstream.main.room: '5' is no size"),
        (
            "[upstream.main]\nurl = 'pip'\nfiles = ['a/b']",
            "line 3, upstream.main.files: 'a/b' is not the name",
        ),
        ("[upstream.main]\nurl = 'pip'\ncredentials = 'a:b'", "line 3, upstream.main.credentials: this is the name of"),
        ("# url\n[upstream.main]\n# url = 1\nurl = 1", "line 4, upstream.main.url: this is a text in quotes, not 1."),
        ("x = '''\n[origin]\n'''\n[origin]\na = 1", "line 1, x: there is no such key"),
        (b"# ok\n\xff", "policy.toml, line 2: this is not UTF-8."),
        ("#" * (LARGEST + 1), f"policy.toml has {LARGEST + 1} bytes: {LARGEST} are the most."),
        ("a = " + "[" * 20_000, "policy.toml"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(document: str | bytes, told: str) -> None:
    with pytest.raises(BadPolicy) as error:
        parse(document)
    assert told in str(error.value)
    assert "secret" not in str(error.value)


@given(st.text() | st.binary() | st.lists(st.sampled_from(WHOLE.splitlines()), max_size=12).map("\n".join))
def test_any_document_is_a_policy_or_one_sentence(document: str | bytes) -> None:
    with suppress(BadPolicy):
        assert isinstance(parse(document), Policy)
