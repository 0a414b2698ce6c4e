"""What an autoscaler would do with a load: simulated, so that policies can be compared before one is deployed."""
