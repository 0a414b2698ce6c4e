"""HTTP as the processes that serve people have it in common: ports taken, connections that do not wait for ever."""
