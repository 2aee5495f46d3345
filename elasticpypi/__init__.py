"""elasticpypi: a private Python package index, serverless on AWS or on one machine."""

__version__ = "1.0.0"
