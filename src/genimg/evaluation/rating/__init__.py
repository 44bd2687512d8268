"""Human evaluation: a page on which people judge images, and the statistics of their answers."""
