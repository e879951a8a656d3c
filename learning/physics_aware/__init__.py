"""physics_aware."""
