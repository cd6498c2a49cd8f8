"""Watched folders, and what an arrival of software sets going."""
