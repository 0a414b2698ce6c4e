"""The page that shows what Velox sees, a process of its own: it reads metrics, stores and topics, and owns nothing."""
