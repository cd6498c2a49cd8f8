"""Builds the C core as the extension module neurath.flash._core; everything else is in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["core/build_core.py:ffi"])
