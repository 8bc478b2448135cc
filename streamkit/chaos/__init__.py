"""``streamkit chaos``: clips and test pictures as real RTSP cameras that break on request."""
