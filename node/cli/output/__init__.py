"""What commands show: JSON for programs; text, tables, progress bars and errors for people."""
