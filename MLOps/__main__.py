"""`python -m MLOps`: the command line."""

from MLOps.commands.program import main as program

if __name__ == "__main__":
    program(prog_name="python -m MLOps")
