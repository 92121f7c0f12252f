"""`python -m codedistill`, for launchers that start modules."""

from codedistill.cli.verbs import main

if __name__ == "__main__":
    main()
