"""Velox turns Kafka topics into stored, searchable, observable model predictions."""

__version__ = "0.1.0"
