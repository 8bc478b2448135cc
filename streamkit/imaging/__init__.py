"""Pixels only: drawing and layout with OpenCV and NumPy, shared by stages and sinks."""
