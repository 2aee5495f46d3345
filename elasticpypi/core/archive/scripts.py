"""The commands that installers make of ``entry_points.txt`` in a wheel."""

import re

from elasticpypi.core.errors import BadUpload

SECTIONS = ("console_scripts", "gui_scripts")
# Beyond the C0 and C1 characters, what str.splitlines takes for the end of a line.
ODD = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")


def check_scripts(data: bytes) -> None:
    """:class:`BadUpload` if the name of a command is a path: it would be written outside of the environment.

    Installers differ in how they read the file (entry points specification), so every line that any of them
    takes for a command is looked at.
    """
    section = ""
    text = data.decode("utf-8-sig", "replace")
    if ODD.search(text):
        raise BadUpload("entry_points.txt has control characters.")
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[] \t").lower()
        elif section in SECTIONS and line and line[0] not in "#;":
            name = line.partition("=")[0].strip()
            if not name or name == "." or ".." in name or re.search(r"[/\\:]", name):
                raise BadUpload(f"The command {name[:80]!r} in entry_points.txt is a path: give it a plain name.")
