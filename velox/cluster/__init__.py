"""Models on Ray: deployments that look at frames, and consumers and producers as actors."""
