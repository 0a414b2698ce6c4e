"""A consumer of several models: each in a process tree of its own, so that none suffers from another."""
