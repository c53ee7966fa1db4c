"""Who takes part in a run: machines with real nodes, users, and impostors."""
