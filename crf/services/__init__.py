"""Every write of the forms and their answers."""
