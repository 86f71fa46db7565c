"""`python -m servers.cli`: how a supervisor starts its children."""

from servers.cli.main import main

main()
