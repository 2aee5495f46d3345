"""What tests share: builders, servers, programs, and the data that several of them read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
