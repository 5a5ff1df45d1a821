"""One file per subcommand: parse, call, render. The pipeline's six are named like their stage."""
