"""What a soak does, and how it knows that nothing was lost, doubled or leaked."""
