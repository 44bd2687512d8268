"""What people think of the pictures: a page that asks them, and the statistics of their answers."""
