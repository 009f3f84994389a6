//! Hostile mail servers and what stands before them.
