//! Other sessions, other users, other machines.
