"""`python -m hf_synthlabels` is `hf-synthlabels`."""

from hf_synthlabels.cli.main import main

if __name__ == "__main__":
    main()
