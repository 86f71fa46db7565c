"""Hypothesis without a deadline: a first example may wait for an RSA key, and a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
