"""`python -m dragflow.train STAGE`: train the embedded model, stage by stage."""

from dragflow.train.main import main

if __name__ == "__main__":
    main()
