//! Hostile token endpoints.
