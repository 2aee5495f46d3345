"""Measured side by side with other indexes: ``make bench``, ``make bench-scale``, ``make bench-servers``."""
