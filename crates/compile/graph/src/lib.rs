//! Typed graph, verifier, text form, passes and the memory planner. Under construction in its first commits.
