"""What a frame costs on Ray, one at a time and in lists, and by Velox's own processes; the same models in one run."""
