"""From an image file's bytes to its pixels, whatever the file; hostile ones cost no more than the limits allow."""
