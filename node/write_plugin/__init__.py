"""The operator's own program that says which records of clients this node takes."""
