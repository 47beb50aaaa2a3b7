"""What every command uses: shared options, output, and what becomes of failures."""
