"""What `peers.py` is made of: models, engines, measuring, and the tables."""
