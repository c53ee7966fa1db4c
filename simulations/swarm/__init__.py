"""Runs drawn from seeds: their plans, their faults, and the search for the smallest plan that fails."""
