"""The tests: a package of its own name, since some distributions install another one called `tests`."""
