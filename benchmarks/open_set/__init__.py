"""Real models on real pictures: what int8 costs them, measured in what they are for."""
