"""Coverage-guided fuzzing of the readers and the field rules: ``make fuzz``, for as many MINUTES as one likes."""
