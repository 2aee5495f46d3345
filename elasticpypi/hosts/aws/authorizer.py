"""The function that API Gateway asks who somebody is."""

from collections.abc import Mapping
from typing import Any

from elasticpypi.accounts.passwords import Authenticator
from elasticpypi.core.errors import TooManyAttempts, Unauthorized


def authorize(event: Mapping[str, Any], authenticate: Authenticator) -> dict[str, Any]:
    """An API Gateway request authorizer: its event → a policy for the whole stage of this one API.

    The gateway keeps a policy for all paths, so it must not depend on the path; the application checks
    again. One that denies is a 401 too (``serverless.yml``), and no error of the function. But it is kept, so whoever
    has to wait gets ``Exception("Unauthorized")``, the gateway's other way to 401 (AWS: Lambda authorizers); it knows
    no 429.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    identity = (event.get("requestContext") or {}).get("identity") or {}
    try:
        principal = authenticate(headers.get("authorization") or "", identity.get("sourceIp") or "")
        user, effect = principal.user, "Allow"
    except Unauthorized:
        user, effect = "nobody", "Deny"
    except TooManyAttempts:
        raise Exception("Unauthorized") from None  # the gateway wants this very text
    stage = "/".join(event["methodArn"].split("/")[:2])
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": f"{stage}/*"}
    return {"principalId": user, "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
