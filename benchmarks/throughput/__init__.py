"""`make bench`: Velox beside the naive design, what its stages cost, and how near to their roofline it comes."""
