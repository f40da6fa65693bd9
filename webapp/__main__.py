"""`python -m webapp` is `fl-web`."""

from webapp.cli import main

main()
