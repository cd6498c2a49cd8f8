"""Carrier servers at a site that answer from a cache."""
