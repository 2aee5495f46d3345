"""The handlers by the names that they have had since 1.0.

AWS changes code and settings of a function one after the other, and requests come in between: a handler of another
name would fail until both are there.
"""

from elasticpypi.hosts.aws.lambdas import api, audit, authorizer, sync

__all__ = ["api", "audit", "authorizer", "sync"]
