"""One module per figure or table: ``run(config) -> result``, without screen, files or drawing."""
