"""The keys of the store, and the last line of a decision."""

import pytest

from elasticpypi.core import keys
from elasticpypi.core.keys import FileKey, IgnoredKey, SidecarKey


@pytest.mark.parametrize(
    ("key", "project", "kind"),
    [
        ("demo-1.0.tar.gz", "demo", ""),
        ("team/Demo_Pkg-1.0-py3-none-any.whl", "demo-pkg", ""),
        ("team/demo-1.0.tar.gz.yanked", "demo", "yanked"),
        ("demo-1.0.tar.gz.deleted", "demo", "deleted"),
        ("demo.status", "demo", "status"),
    ],
)
def test_what_a_key_stands_for(key: str, project: str, kind: str) -> None:
    means = keys.parse(key)
    assert not isinstance(means, IgnoredKey)
    assert (means.key, means.project) == (key, project)
    assert isinstance(means, SidecarKey if kind else FileKey)
    assert (means.sidecar.kind if isinstance(means, SidecarKey) else "") == kind


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("team/", "folder"),
        ("demo\n-1.0.tar.gz", "not text"),
        ("a" * 690 + "-1.0.tar.gz", "longer than 700 bytes"),
        (".secrets/forms", "hidden"),
        ("team/demo.status", "names no project"),
        ("Demo.status", "names no project"),
        ("README.md.yanked", "no package"),
        ("README.md", "none of a wheel or an sdist"),
    ],
)
def test_what_stands_for_nothing(key: str, reason: str) -> None:
    means = keys.parse(key)
    assert isinstance(means, IgnoredKey)
    assert reason in means.reason


@pytest.mark.parametrize("text", ["", "bad", "archived\nuse demo2", "# by nobody at noon", "# by x"])
@pytest.mark.parametrize("by", ["anna", "Anna B. at home", "a\nb\x1b", "x" * 500])
def test_a_decision_says_who_made_it(text: str, by: str) -> None:
    signed = keys.unsign(keys.sign(text, by))
    assert signed.text == text
    assert signed.by == " ".join(by.replace("\n", "?").replace("\x1b", "?").split())[:200]
    assert signed.at is not None


@pytest.mark.parametrize(
    "text", ["", "bad", "bad\n", "archived\nuse demo2", "ab" * 32, "# by anna", "why\n# by anna at 2026-12-01", "\n\n"]
)
def test_a_decision_without_a_signature_is_whole(text: str) -> None:
    assert keys.unsign(text) == (text, None, None)
