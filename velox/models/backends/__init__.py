"""What runs a network: the Backend contract, and one file for each way of doing it."""
