"""Who takes part in a run: machines with real nodes on them, users, impostors."""
