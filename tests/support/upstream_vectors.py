"""What an index in front of another one has to answer (``upstream_vectors.json``), with the names that ours uses."""

import json
from pathlib import Path
from typing import Any

from elasticpypi.core import exemptions
from elasticpypi.core.advisories import Advisories, Collected, load
from elasticpypi.core.exemptions import Exemption
from elasticpypi.core.moments import seconds_of, text_of
from elasticpypi.policy import Policy, parse

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("upstream_vectors.json").read_text())


def cases(section: str, part: str = "cases") -> list[dict[str, Any]]:
    """The cases of a section, each with all of the policy that holds for it; they may be changed."""
    found = json.loads(json.dumps(VECTORS[section]))
    of_all = found.get("policy", {})
    return [{**case, "policy": {**of_all, **case.get("policy", {})}} for case in found[part]]


def ids(some: list[dict[str, Any]]) -> list[str]:
    """Their names, for pytest."""
    return [case["id"] for case in some]


def policy_of(case: dict[str, Any], table: str) -> Policy:
    """The policy of a case, by way of the document that an administrator writes; ``table`` is what it is in there."""
    said = {key: value for key, value in case["policy"].items() if key != "exempt"}
    projects = said.pop("project", {})
    lines = [f"[{table}]", *(f"{key} = {_toml(key, value)}" for key, value in said.items())]
    if projects:
        lines += [f"[{table}.project]", *(f"{key} = {json.dumps(value)}" for key, value in projects.items())]
    return parse("\n".join(lines))


def exemptions_of(case: dict[str, Any]) -> list[tuple[str, Exemption]]:
    """The project and the exemption of each that a case has."""
    found = []
    for said in case["policy"].get("exempt", ()):
        target = exemptions.parse(said["release"])
        until = text_of(seconds_of(said["until"]))
        found.append((target.project, Exemption(target.version, until, said["reason"])))
    return found


def _toml(key: str, value: Any) -> str:
    return str(value) if key == "cutoff" else json.dumps(value)


def dumped(*records: dict[str, Any]) -> bytes:
    """Records as they are stored once they were loaded."""
    collected = Collected()
    for record in records:
        collected.add(record, seconds_of(VECTORS["now"]))
    return collected.dump(collected.about())


def table_of(*records: dict[str, Any]) -> Advisories:
    """The same as it is read."""
    return load(dumped(*records))
