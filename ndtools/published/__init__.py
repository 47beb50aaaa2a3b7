"""Numbers that the paper, a report on it and a third-party reproduction publish, as data with their sources."""
