"""master_equation."""
