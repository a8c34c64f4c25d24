"""Pages of analytics: datasets and evaluations."""
