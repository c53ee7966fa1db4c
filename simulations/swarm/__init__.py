"""Runs drawn from seeds: plans, faults, the search for the smallest plan that fails, and mutants."""
