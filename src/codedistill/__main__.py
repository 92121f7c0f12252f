"""`python -m codedistill`, for launchers that start modules."""

from codedistill.cli import main

if __name__ == "__main__":
    main()
