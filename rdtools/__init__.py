"""rdtools: mine, label, train, evaluate and diagnose rankers, as five Unix filters."""

__version__ = "0.1.0"
