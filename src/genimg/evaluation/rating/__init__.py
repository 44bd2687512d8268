"""What people think of the images: a page that asks them, and the statistics of their answers."""
