"""What people use around the pipeline: run it, watch it, measure it, check it, mend it."""
