"""What is wrong with a camera, and how many of them this machine can carry: measured, explained."""
