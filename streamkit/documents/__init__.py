"""What grows out of pipeline documents: their text, what is wrong in it, pictures, live changes."""
