"""Records: what a record is, who owns a label, and which records a node accepts from whom."""
