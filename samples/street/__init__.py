"""A drawn street with traffic, its exact truth, and the sample clip made of it."""
