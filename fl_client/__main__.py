"""`python -m fl_client` is `fl-client`."""

from fl_client.cli import main

main()
