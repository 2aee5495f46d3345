"""Two indexes that ask each other would do so for ever: each says by whom a request came (RFC 8586)."""

from contextvars import ContextVar

HEADER = "CDN-Loop"

# What the request that is being answered says of those it came through.
came_through: ContextVar[str] = ContextVar("came_through", default="")
