"""Parts that every command uses: shared options, the screen, and messages for failures."""
