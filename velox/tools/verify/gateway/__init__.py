"""A run whose records are requests to a gateway; only it needs the libraries of the extras gateway and client."""

from velox.tools.verify.gateway.through import ThroughGateway

__all__ = ["ThroughGateway"]
