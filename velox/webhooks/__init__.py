"""Delivers results to the URLs that clients named: a process of its own beside the gateways."""
