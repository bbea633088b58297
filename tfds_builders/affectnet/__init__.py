"""AffectNet: faces from the web with an expression, valence and arousal, in either release."""
