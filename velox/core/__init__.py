"""The pure core: no I/O, no threads; where time matters, the clock can be passed in."""
