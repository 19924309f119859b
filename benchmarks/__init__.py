"""The project's numbers, measured: each module prints a few of them and can be run alone."""
