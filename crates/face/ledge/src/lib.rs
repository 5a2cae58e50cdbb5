//! Fits models into devices: the stable API. Under construction in its first commits.
