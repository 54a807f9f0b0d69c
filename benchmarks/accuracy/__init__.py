"""Accuracy: what a matcher finds in data whose customers are known, against those customers."""
