"""Dead letters in people's hands: ``velox dlq list|show|replay|discard``."""
