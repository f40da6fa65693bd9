"""`python -m fl_server` is `fl-server`."""

from fl_server.cli import main

main()
