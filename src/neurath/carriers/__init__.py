"""Carriers move wire messages and know nothing else. One file each."""
