"""One machine: packages in a folder (``directory.py``), the index in SQLite (``sqlite.py``)."""
