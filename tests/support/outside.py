"""Another index, as far as pages for people need one: what it has, whether it answers, and what it was asked for."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

from elasticpypi.core.moments import text_of
from elasticpypi.upstream.fetch import Answer, Failed

ADDRESS = "https://outside.example/simple/"
JSON = "application/vnd.pypi.simple.v1+json"
DAY = 86400.0


def entry(filename: str, days: float | None = 100.0, **more: Any) -> dict[str, Any]:
    """A file of a page that was uploaded some days ago; None: the index does not say."""
    told = {} if days is None else {"upload-time": text_of(time.time() - days * DAY)}
    url = f"https://files.outside.example/packages/ab/{filename}"
    digest = hashlib.sha256(filename.encode()).hexdigest()
    return {"filename": filename, "url": url, "hashes": {"sha256": digest}, "size": 9, **told, **more}


@dataclass
class Outside:
    """Stands in the place of what asks: its method :meth:`page` is that of ``upstream.fetch.Client``."""

    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    silent: bool = False

    def has(self, name: str, *files: dict[str, Any], **more: Any) -> None:
        """From now on it has this project."""
        self.pages[name] = {"meta": {"api-version": "1.1"}, "name": name, "files": list(files), **more}

    def page(self, name: str, etag: str = "", *_: float, **__: float) -> Answer:
        self.asked.append(name)
        if self.silent:
            raise Failed("The index 'main' has not answered: it took too long.")
        page = self.pages.get(name)
        if page is None:
            return Answer(404, f"{ADDRESS}{name}/")
        return Answer(200, f"{ADDRESS}{name}/", json.dumps(page).encode(), JSON, age=0)
