"""The paper once more: what can be run again, at which size within a budget, and how each result compares."""
