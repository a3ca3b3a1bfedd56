"""`python -m labeling` is the `askwise` command."""

from labeling.cli import main

main()
