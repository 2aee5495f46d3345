"""``python3.13 bytecode.py ZIP``: adds bytecode to the zip of a Lambda, made by the Python that will run it.

Unchecked (PEP 552), since osls dates every file 2098-01-01: Python would take it for stale, and compile
everything anew at each cold start. The sources stay, for tracebacks.
"""

import importlib.util
import py_compile
import sys
import tempfile
import zipfile
from pathlib import Path

UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH

with zipfile.ZipFile(sys.argv[1], "a", zipfile.ZIP_DEFLATED) as archive, tempfile.TemporaryDirectory() as folder:
    for source in sorted(name for name in archive.namelist() if name.endswith(".py")):
        path = archive.extract(source, folder)
        bytecode = py_compile.compile(path, dfile=f"/var/task/{source}", doraise=True, invalidation_mode=UNCHECKED)
        assert bytecode is not None
        entry = zipfile.ZipInfo(importlib.util.cache_from_source(source), (2098, 1, 1, 0, 0, 0))
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, Path(bytecode).read_bytes(), zipfile.ZIP_DEFLATED)
