"""Mobile IPv4: a home agent that binds and forwards, a mobile node that keeps its home address, and updates that ride on the
registrations between them. Spec: docs/spec/mobileip.md."""

from neurath.carriers.mobileip.node import Registration, rides

__all__ = ["Registration", "rides"]
