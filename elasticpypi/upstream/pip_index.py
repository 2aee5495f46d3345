"""The index that pip on this machine uses: what it is configured for, else the one that is built into it."""

import json
import shutil
import subprocess
import sys
from functools import cache

from elasticpypi.core.errors import ConfigurationError

SECONDS = 20
# What pip itself makes of its files and variables, whatever names and places these have in its version.
ASK = """
import json
from pip._internal.commands import create_command
options, _ = create_command("download").parse_args([])
print(json.dumps([options.index_url, options.no_index]))
"""


@cache
def pip_index() -> str:
    """Its address, with the credentials that are in it; :class:`ConfigurationError` if there is no pip, or no index."""
    for python in filter(None, (sys.executable, shutil.which("python3"), shutil.which("python"))):
        try:
            command = [python, "-I", "-c", ASK]
            found = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
            address, none = json.loads(found.stdout)
        except (OSError, subprocess.SubprocessError, ValueError, TypeError):
            continue
        if none or not str(address).startswith(("https://", "http://")):
            raise ConfigurationError("pip on this machine uses no index: give the address of one in the place of pip.")
        return str(address)
    raise ConfigurationError("There is no pip here to ask for its index: give the address of one in the place of pip.")
