"""One record: its bytes, its signature rules, the history that it joins, and what a node takes from whom."""
