"""Command lines that a user pastes into a shell. Imports nothing heavy."""

__all__ = ["by_processes"]


def by_processes(command: str, processes: int) -> str:
    """Return the command line that has several processes do the work of one.

    Parameters
    ----------
    command : str
        Command line that begins with ``ndtools``, with quotation marks where they are needed.
    processes : int
        Number of processes on this machine that share the work; 1 changes nothing.

    Returns
    -------
    str
        Command line that starts them by torchrun.
    """
    return f"torchrun --nproc-per-node {processes} -m {command}" if processes > 1 else command
