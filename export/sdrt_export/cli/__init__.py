"""The commands `sdrt export`, `sdrt models` and `optimum-cli export sdrt`."""
