"""What a person reads at the console of a node: its log, which never makes it wait, and text in which nothing hides."""
