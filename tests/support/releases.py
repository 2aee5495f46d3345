"""A fake upstream with releases of a given age, and the policy that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.support.fake_upstream import Answer, FakeUpstream, Request


class Releases(FakeUpstream):
    """``status`` is the answer to everything if it is not 0."""

    status = 0

    def release(self, name: str, *releases: tuple[str, float | None]) -> None:
        """Wheels of a project: of each the version and its age in days, None: it says no time."""
        self.projects.pop(name, None)
        for version, days in releases:
            filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
            time = None if days is None else f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%S.%fZ}"
            more = {"path": f"files/{filename}", "upload-time": time}
            self.add(filename, f"wheel {filename}".encode(), name, **more)

    def policy(self, *lines: str) -> bytes:
        """A policy that names it, with more lines."""
        return "\n".join([f'[upstream.main]\nurl = "{self.url}"\nfresh = "0"', *lines, ""]).encode()

    def answer(self, request: Request) -> Answer:
        return Answer(b"no", self.status, "text/plain") if self.status else super().answer(request)


@contextmanager
def releases() -> Iterator[Releases]:
    """One that ends with the block."""
    made = Releases()
    try:
        yield made
    finally:
        made.close()
