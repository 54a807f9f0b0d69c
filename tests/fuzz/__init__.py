"""Coverage-guided fuzzing of what reads strangers' bytes: ``make fuzz``, for as many MINUTES as one likes."""
