"""Two names that installers take for one file: one upload wins, also when whoever follows the store is faster."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.core.errors import Unavailable
from elasticpypi.indexing import sync
from elasticpypi.services import Services
from tests.support.application import Client
from tests.support.builders import make_wheel

pytestmark = pytest.mark.req("REQ-116")


def spellings(folder: Path, count: int) -> list[Path]:
    """The same wheel under so many names, with other bytes in each."""
    names = ["".join(letters) for letters in itertools.product("aA", "cC", "mM", "eE", "._", "xX")][:count]
    return [
        make_wheel(folder, name, "1.0", files={"which.py": b"%d" % number}, core=core(name))
        for number, name in enumerate(names)
    ]


def core(name: str) -> bytes:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()


def listed(services: Services) -> list[str]:
    page: Any = Client(services).json("/simple/acme-x/")
    return [file["filename"] for file in page["files"]]


@pytest.mark.parametrize("many", [False, True], ids=["two", "many"])
def test_the_follower_is_faster(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """All are stored and in the index before any of them is held against the others."""
    # The time grows with the square: of 64, moto would copy all its tables thousands of times, for 80 s.
    count = (16 if services.config.on_aws else 64) if many else 2
    wheels = spellings(tmp_path, count)
    everyone, real = threading.Barrier(count), sync.saved

    def saved(files: Any, index: Any, stat: Any, dist: Any, check: Any, who: Any) -> None:
        everyone.wait(300)
        sync.sync(files, index, stat.key)
        everyone.wait(300)
        real(files, index, stat, dist, check, who)

    monkeypatch.setattr(sync, "saved", saved)
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda path: Client(services).upload(path), wheels))
    won = [path.name for path, answer in zip(wheels, answers, strict=True) if answer.status_code == 200]
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * (count - 1)]
    assert won == listed(services) == [stat.key for stat in services.files.list()]


def test_the_index_is_away_and_both_come_again(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = spellings(tmp_path, 2)
    with monkeypatch.context() as away:

        def saved(*_: object) -> None:
            raise Unavailable("The index cannot be used now: database is locked.")

        away.setattr(sync, "saved", saved)
        assert [Client(services).upload(path).status_code for path in wheels] == [503, 503]
    for path in reversed(wheels):
        sync.sync(services.files, services.index, path.name)
    assert len(listed(services)) == 1
    answers = {path.name: Client(services).upload(path).status_code for path in wheels}
    assert sorted(answers.values()) == [200, 409]
    assert [answers[name] for name in listed(services)] == [200]


def test_what_people_put_into_the_store_stays(services: Services, tmp_path: Path) -> None:
    for path in spellings(tmp_path, 2):
        with path.open("rb") as content:
            services.files.save(path.name, content, "")
        sync.sync(services.files, services.index, path.name)
    assert len(listed(services)) == 2
