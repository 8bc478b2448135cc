"""What recordings are made of: the ring of packets, names of files, what is kept on disk."""
