"""`python -m dragflow.train {vae,flow,export}`: trains the embedded model stage by stage."""

from dragflow.train.main import main

if __name__ == "__main__":
    main()
