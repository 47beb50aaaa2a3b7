"""Result files: arrays, numbers and manifests, written and read back."""
