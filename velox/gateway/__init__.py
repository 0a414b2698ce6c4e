"""The REST API: enters requests, produces them, and answers from the store. A process of its own."""
