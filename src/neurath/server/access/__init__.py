"""Operators: who they are, what they may do, and the one place where that is asked."""
