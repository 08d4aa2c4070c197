"""What the two classic faces have in common. Nothing here knows which face it serves."""
