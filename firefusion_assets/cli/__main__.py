"""`python -m firefusion_assets.cli`: the command `firefusion`, wherever the package can be imported."""

from firefusion_assets.cli.main import main

if __name__ == "__main__":
    main()
