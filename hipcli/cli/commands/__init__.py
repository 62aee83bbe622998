"""One module for each command of `hip`: it turns command-line options into function calls."""
