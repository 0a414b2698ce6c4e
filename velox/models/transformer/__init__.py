"""Networks for texts in the format of the package transformers: their folder, what is made of it, what runs them."""
