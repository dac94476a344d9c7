"""``python -m nlptl``, so that ``accelerate launch -m nlptl run RECIPE`` works."""

from nlptl.cli import main

if __name__ == "__main__":
    main()
