//! Guessers and first comers.
