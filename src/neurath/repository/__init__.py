"""The software store as a TUF repository: who may publish what, offline and online, and how a copy is kept in step with it."""
