"""Training runs as folders: their configuration, the session of a command, and what it writes, shows and draws."""
