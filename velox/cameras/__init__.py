"""Cameras: read, their frames put into the bucket, and the paths published, a topic a camera."""
