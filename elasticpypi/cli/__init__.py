"""The command line: run, rebuild, decide, set up.

A command is imported when it is called, so that `serve` does not wait for what the others need.
"""

from collections.abc import Iterator, MutableMapping
from importlib import import_module

import click

from elasticpypi import __version__
from elasticpypi.core.errors import ConfigurationError, Refusal

# Each command, and where it is: a module of this folder, and a function in it.
COMMANDS = {
    "serve": "serving.serve",
    "upload": "uploading.upload",
    "reindex": "repair.reindex",
    "audit": "repair.compare",
    "yank": "decide.yank",
    "unyank": "decide.unyank",
    "delete": "decide.delete",
    "status": "decide.status",
    "policy": "rule.policy_group",
    "origin": "rule.origin",
    "block": "rule.block",
    "unblock": "rule.unblock",
    "exempt": "rule.exempt",
    "unexempt": "rule.unexempt",
    "blocks": "rule.blocks",
    "origins": "rule.origins",
    "exemptions": "rule.exemptions",
    "disown": "rule.disown",
    "advisories": "advise.advisories",
    "why": "ask.why",
    "who": "ask.who",
    "prefetch": "fill.prefetch",
    "carry": "fill.carry",
    "names": "ask.names",
    "events": "record.events",
    "password": "setup.password",
    "settings": "setup.settings",
}


class _Lazy(MutableMapping[str, click.Command]):
    """Commands by name, each imported when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._made:
            module, _, function = COMMANDS[name].partition(".")
            self._made[name] = getattr(import_module(f"elasticpypi.cli.{module}"), function)
        return self._made[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Commands(click.Group):
    """Errors of ours are one sentence and exit status 1, never a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (ConfigurationError, Refusal) as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Commands, commands=_Lazy(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="elasticpypi")
def main() -> None:
    """A private Python package index: on AWS, or on one machine.

    Everything is set by environment variables; `elasticpypi settings` lists them.
    """
