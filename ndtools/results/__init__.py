"""Result files: arrays, numbers and manifests, written whole or not at all."""
