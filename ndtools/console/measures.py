"""Names of the measures of sparsity in tables, and their values for known distributions."""

__all__ = ["NAMES", "REFERENCES"]

NAMES = {
    "kurtosis": "kurtosis",
    "hoyer": "Hoyer",
    "gini": "Gini",
    "near_zero": "|x| < 0.1 σ",
    "ggd_shape": "GGD shape",
}
# Values for a Gaussian and for a Laplace distribution, from closed forms.
REFERENCES = {
    "kurtosis": (3, 6),
    "hoyer": (0.2021, 0.2929),
    "gini": (0.4142, 0.5),
    "near_zero": (0.0797, 0.1319),
    "ggd_shape": (2, 1),
}
