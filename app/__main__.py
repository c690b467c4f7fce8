"""`python -m app` is the `waymark` command."""

from app.cli.main import main

main()
