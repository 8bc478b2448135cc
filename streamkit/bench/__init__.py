"""What streamkit measures of itself, against plain methods, in the same process and run."""
