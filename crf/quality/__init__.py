"""Rules that look over all records of a study at once; pure functions, no Django."""
