"""The consumer's processes, file by file in the order data flows."""
