"""Propositions and equivalences of the paper, checked in numbers (Ye et al. 2020, sec. 3.1, 4.3, 4.4, 5, A.8)."""
