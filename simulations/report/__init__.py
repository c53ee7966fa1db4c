"""Reports: what a run came to, as one HTML page that needs nothing else and asks nobody for anything."""
