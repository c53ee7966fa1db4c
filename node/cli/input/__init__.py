"""What commands read: options, a user's own defaults, claims as people write them, lines of files, and heads."""
