"""Neurath: over-the-air updates for devices with one firmware bank."""

__version__ = "0.1.0"
