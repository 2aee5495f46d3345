"""The policy document as commands see it."""

import pytest

from elasticpypi.actions import policy_document
from elasticpypi.core.errors import BadPolicy
from elasticpypi.services import Services
from elasticpypi.storage.contracts import ANY
from tests.support.builders import ACTOR


def test_what_changes_is_shown_by_line() -> None:
    shown = policy_document.difference("a = 1\nb = 2\n", "a = 1\nb = 3\n")
    assert shown.splitlines()[-2:] == ["-b = 2", "+b = 3"]
    assert policy_document.difference("a\n", "a\n") == ""


def test_whoever_edits_the_store_is_told_of_once_and_only_if_it_is_right(services: Services) -> None:
    def noted() -> bool:
        return policy_document.note_edited(services.objects, services.log)

    assert not noted()
    services.objects.write("policy.toml", b"[origin]\n", None)
    assert [noted(), noted()] == [True, False]
    for wrong in (b"[", b"\xff"):
        services.objects.write("policy.toml", wrong, ANY)
        assert not noted()
    assert policy_document.last(services.objects) == "[origin]\n"
    services.objects.remove("policy.toml")
    assert [noted(), noted()] == [True, False]


def test_a_wrong_document_can_be_read_and_replaced(services: Services) -> None:
    services.objects.write("policy.toml", b"\xff = [", None)
    _, tag = policy_document.read(services, ACTOR)
    for known in ("other", tag):
        with pytest.raises(BadPolicy):
            policy_document.apply(services, ACTOR, b"=", known)
    assert policy_document.apply(services, ACTOR, b"[origin]\n", tag)[0]
