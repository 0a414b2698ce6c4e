"""What predicts: the Model contract and the models that obey it."""
