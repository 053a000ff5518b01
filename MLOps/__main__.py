"""`python -m MLOps`: the command line."""

from MLOps.commands.program import main

if __name__ == "__main__":
    main(prog_name="python -m MLOps")
