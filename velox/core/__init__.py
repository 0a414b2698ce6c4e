"""The pure core: no I/O and no clock of its own."""
