"""`python -m hf_synthlabels` is `hf-synthlabels`."""

from hf_synthlabels.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
